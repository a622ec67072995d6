#include "sim/cli/place_report.h"

#include <nlohmann/json.hpp>

#include "placement/heuristics/homes.h"
#include "placement/replication/replicas.h"
#include "sim/cli/command_line.h"
#include "sim/core/index.h"
#include "sim/core/quantity_text.h"

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

std::string cost(const Json& report, const char* key) {
  const double value = report.at(key).get<double>();
  return report.at("unit") == "s" ? human_seconds(value) : format_number(value);
}

}  // namespace

nlohmann::json place_report(const PlacementProblem& problem, const PlacementResult& result,
                            std::uint64_t seed) {
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
              {"seed", seed},
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

std::string place_table(const nlohmann::json& report) {
  Table table({"", ""});
  table.row({"method", report.at("method").get<std::string>()});
  table.row({"objective", cost(report, "objective")});
  const Json& parts = report.at("parts");
  const bool seconds = report.at("unit") == "s";
  const auto part = [&](const char* key) {
    const double value = parts.at(key).get<double>();
    return seconds ? human_seconds(value) : format_number(value);
  };
  const double contiguous = report.at("baseline").at("contiguous").get<double>();
  table.row({"  contiguous", (seconds ? human_seconds(contiguous) : format_number(contiguous))});
  table.row({"  busiest devices", part("load")});
  table.row({"  traffic", part("traffic")});
  table.row({"lower bound", cost(report, "lower_bound")});
  table.row({"gap", report.at("proven_optimal").get<bool>()
                        ? "0, proven optimal"
                        : "at most " + percent(report.at("gap").get<double>()) + " from optimal"});
  table.row({"balancedness", percent(parts.at("balancedness").get<double>())});
  if (report.contains("replica_node_share")) {
    table.row({"replicas' nodes reached", percent(report.at("replica_node_share").get<double>())});
  }
  if (report.at("comm_model") != "none") {
    table.row({"moves off the device", percent(parts.at("cross_device_ratio").get<double>())});
    table.row({"moves off the node", percent(parts.at("cross_node_ratio").get<double>())});
  }
  table.row({"seed", std::to_string(report.at("seed").get<std::uint64_t>())});
  table.row({"time", human_seconds(report.at("wall_s").get<double>())});
  return table.text();
}

}  // namespace moesim
