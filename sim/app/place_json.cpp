// What a placement and its proof look like as JSON.
#include <nlohmann/json.hpp>

#include "placement/heuristics/homes.h"
#include "placement/replication/replicas.h"
#include "sim/app/place.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

// [layer][expert] -> devices, in slot order.
Json replicas_json(const ExpertPlacement& placement) {
  Json layers = Json::array();
  for (const auto& slots : placement.slot_expert) {
    std::vector<std::vector<int>> devices(at(placement.experts));
    for (int g = 0; g < placement.devices; ++g) {
      for (int s = placement.first_slot[at(g)]; s < placement.first_slot[at(g) + 1]; ++s) {
        if (slots[at(s)] >= 0) {
          devices[at(slots[at(s)])].push_back(g);
        }
      }
    }
    layers.push_back(devices);
  }
  return layers;
}

Json first_devices(const Json& replicas) {
  Json placement = Json::array();
  for (const Json& layer : replicas) {
    Json row = Json::array();
    for (const Json& devices : layer) {
      row.push_back(devices.at(0));
    }
    placement.push_back(std::move(row));
  }
  return placement;
}

Json heat_json(const PlacementProblem& problem, const ExpertPlacement& placement) {
  Json rows = Json::array();
  for (int l = 0; l < problem.layers; ++l) {
    rows.push_back(device_loads(problem, placement, l));
  }
  return rows;
}

Json traffic_json(const PlacementProblem& problem, const ExpertPlacement& placement) {
  const std::vector<double> matrix = traffic_matrix(problem, placement);
  Json rows = Json::array();
  const auto devices = static_cast<std::ptrdiff_t>(problem.devices);
  for (std::ptrdiff_t from = 0; from < devices; ++from) {
    rows.push_back(std::vector<double>(matrix.begin() + from * devices,
                                       matrix.begin() + (from + 1) * devices));
  }
  return rows;
}

Json score_json(const PlacementProblem& problem, const PlacementScore& score) {
  return {{"load", problem.alpha * score.load},
          {"traffic", problem.beta * score.traffic},
          {"balancedness", score.balancedness},
          {"cross_device_ratio", score.moves > 0.0 ? score.cross_device / score.moves : 0.0},
          {"cross_node_ratio", score.moves > 0.0 ? score.cross_node / score.moves : 0.0}};
}

Json solution_json(const PlaceResult& placed) {
  const PlacementProblem& problem = placed.problem;
  const PlacementResult& result = placed.found;
  const Json replicas = replicas_json(result.placement);
  Json report{{"schema", "moesim-place/1"},
              {"problem", problem.name},
              {"method", result.method},
              {"objective", result.score.objective},
              {"unit", problem.in_seconds ? "s" : "1"},
              {"lower_bound", result.lower_bound},
              {"gap", result.gap},
              {"proven_optimal", result.proven_optimal},
              {"parts", score_json(problem, result.score)},
              {"bounds",
               {{"load", result.bound.load},
                {"traffic", result.bound.traffic},
                {"joint", result.bound.joint},
                {"methods", result.bound.methods}}},
              {"comm_model", name_of(problem.comm)},
              {"split", name_of(problem.split)},
              {"seed", placed.seed},
              {"placement", first_devices(replicas)},
              {"slots",
               {{"first_slot", result.placement.first_slot},
                {"slot_expert", result.placement.slot_expert}}}};
  if (problem.redundant > 0) {
    report["replicas"] = replicas;
    report["replica_node_share"] = replica_node_share(problem, result.placement);
  }
  Json history = Json::array();
  for (const ProgressPoint& point : result.history) {
    history.push_back({{"seconds", point.seconds},
                       {"objective", point.objective},
                       {"lower_bound", point.lower_bound}});
  }
  report["history"] = std::move(history);
  const ExpertPlacement contiguous = place_at_homes(problem, contiguous_homes(problem));
  report["baseline"] = {{"contiguous", evaluate(problem, contiguous).objective}};
  report["heat"] = {{"contiguous", heat_json(problem, contiguous)},
                    {"found", heat_json(problem, result.placement)}};
  if (problem.comm == CommModel::interlayer) {
    report["traffic"] = {{"contiguous", traffic_json(problem, contiguous)},
                         {"found", traffic_json(problem, result.placement)}};
  }
  report["wall_s"] = result.wall_s;
  return report;
}

Json generalisation_json(const std::vector<GeneralisationRow>& rows) {
  Json document;
  for (const GeneralisationRow& row : rows) {
    Json& one = document[row.placement];
    one = {{"fitted", row.fitted}, {"unseen", row.unseen}};
    if (row.gain_fitted && row.gain_unseen) {
      one["gain_fitted"] = *row.gain_fitted;
      one["gain_unseen"] = *row.gain_unseen;
    }
  }
  return document;
}

Json verdict_json(const PlacedScenario& placed) {
  Json rows = Json::array();
  for (const VerdictRow& row : placed.verdict) {
    rows.push_back({{"placement", row.placement},
                    {"part", row.unseen ? "unseen" : "fitted"},
                    {"step_s", row.step_s},
                    {"tpot_s", placed.decode ? Json(row.step_s) : Json()},
                    {"balancedness", row.balancedness},
                    {"cross_node_ratio", row.cross_node_ratio},
                    {"exposed_communication_s", row.exposed_communication_s}});
  }
  return rows;
}

Json provenance_json(const PlaceProvenance& provenance) {
  Json document{{"statistics", provenance.statistics},
                {"statistics_tokens", provenance.statistics_tokens},
                {"unseen", provenance.unseen},
                {"seconds_per_pair", provenance.costs.seconds_per_pair},
                {"seconds_per_copy_in_node", provenance.costs.intra_s},
                {"seconds_per_copy_between_nodes", provenance.costs.inter_s},
                {"basis", provenance.costs.basis}};
  if (!provenance.preferred_files.empty()) {
    document["preferred_files"] = provenance.preferred_files;
  }
  return document;
}

}  // namespace

nlohmann::json to_json(const PlaceResult& result) {
  Json document = solution_json(result);
  if (result.scenario) {
    document["provenance"] = provenance_json(result.scenario->provenance);
    document["generalisation"] = generalisation_json(result.scenario->generalisation);
    if (!result.scenario->verdict.empty()) {
      document["verdict"] = verdict_json(*result.scenario);
    }
  }
  return document;
}

}  // namespace moesim
