#include "sim/app/place_diff.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sim/app/place_scenario.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

// A problem, and what a scenario says beyond it.
struct Subject {
  PlacementProblem problem;
  bool is_scenario = false;
  int first_layer = 0;
  double intra_bandwidth = 0.0;
  double inter_bandwidth = 0.0;
  std::vector<std::string> warnings = {};
};

Subject read_subject(const Json& document, const PlaceDiffOptions& options) {
  if (is_placement_problem(document)) {
    return {.problem = read_placement_problem(document, options.problem)};
  }
  const PlaceScenario subject(
      document, {.name = options.problem, .folders = options.catalogs, .fit_share = 1.0});
  const NodeSpec& node = subject.cluster().node;
  const double nics = std::min(node.nics, node.devices);
  return {.problem = subject.problem(),
          .is_scenario = true,
          .first_layer = subject.moe_layers().front(),
          .intra_bandwidth = node.device_link.bandwidth.si(),
          .inter_bandwidth = node.nic_link.bandwidth.si() * nics / node.devices,
          .warnings = subject.warnings()};
}

// A scenario says nothing of the slots that a file may have.
PlacementProblem with_slots_of(PlacementProblem problem, const ExpertPlacement& placement) {
  std::size_t copies = 0;
  for (const std::int32_t e : placement.slot_expert.front()) {
    copies += e >= 0 ? 1 : 0;
  }
  problem.redundant = std::max(0, static_cast<int>(copies) - problem.experts);
  problem.exact_capacity = false;
  problem.capacity.clear();
  for (int g = 0; g < placement.devices; ++g) {
    problem.capacity.push_back(placement.first_slot[static_cast<std::size_t>(g) + 1] -
                               placement.first_slot[static_cast<std::size_t>(g)]);
  }
  return problem;
}

PlacementScore score_of(const Subject& subject, const PlacementFile& file,
                        const std::string& path) {
  const PlacementProblem problem =
      subject.is_scenario && file.placement.devices == subject.problem.devices
          ? with_slots_of(subject.problem, file.placement)
          : subject.problem;
  check_feasible(problem, file.placement, path);
  return evaluate(problem, file.placement);
}

MoveCost move_cost(const PlaceDiffOptions& options, const Subject* subject, int devices) {
  MoveCost cost;
  cost.devices_per_node = options.devices_per_node > 0 ? options.devices_per_node
                          : subject != nullptr         ? subject->problem.devices_per_node
                                                       : devices;
  const Subject nothing;
  const Subject& otherwise = subject != nullptr ? *subject : nothing;
  cost.expert_bytes = options.expert_bytes.value_or(Bytes(otherwise.problem.expert_bytes)).si();
  cost.intra_bandwidth =
      options.intra_bandwidth.value_or(Bandwidth(otherwise.intra_bandwidth)).si();
  cost.inter_bandwidth =
      options.inter_bandwidth.value_or(Bandwidth(otherwise.inter_bandwidth)).si();
  return cost;
}

Json moves_json(const LayerMoves& moves) {
  return {{"kept", moves.kept},
          {"loaded", moves.loaded},
          {"dropped", moves.dropped},
          {"across_nodes", moves.across_nodes}};
}

Json score_json(const PlacementScore& score) {
  return {{"objective", score.objective},
          {"load", score.load},
          {"traffic", score.traffic},
          {"balancedness", score.balancedness}};
}

Json side_json(const PlaceDiffSide& side) {
  Json document{{"file", side.path}, {"format", side.file.format}};
  if (side.score) {
    document["score"] = score_json(*side.score);
  }
  return document;
}

}  // namespace

bool PlaceDiffResult::has_time() const {
  return cost.expert_bytes > 0.0 && (diff.intra_bytes == 0.0 || cost.intra_bandwidth > 0.0) &&
         (diff.inter_bytes == 0.0 || cost.inter_bandwidth > 0.0) &&
         cost.intra_bandwidth + cost.inter_bandwidth > 0.0;
}

PlaceDiffResult place_diff(const PlaceDiffOptions& options, const Json* problem) {
  std::optional<Subject> subject;
  if (problem != nullptr) {
    subject = read_subject(*problem, options);
  }
  FormatOptions reading{options.devices, options.first_layer, {}};
  if (subject && reading.devices == 0) {
    reading.devices = subject->problem.devices;
  }
  if (subject && reading.first_layer == 0) {
    reading.first_layer = subject->first_layer;
  }
  PlaceDiffResult result;
  result.before = {options.before, read_placement_file(options.before, reading)};
  result.after = {options.after, read_placement_file(options.after, reading)};
  const ExpertPlacement& before = result.before.file.placement;
  const ExpertPlacement& after = result.after.file.placement;
  result.cost =
      move_cost(options, subject ? &*subject : nullptr, std::max(before.devices, after.devices));
  result.diff =
      diff_placements(before, after, result.cost, options.before + " and " + options.after);
  if (subject) {
    result.warnings = subject->warnings;
    result.scores_in_seconds = subject->problem.in_seconds;
    for (PlaceDiffSide* side : {&result.before, &result.after}) {
      side->score = score_of(*subject, side->file, side->path);
    }
  }
  return result;
}

Json to_json(const PlaceDiffResult& result) {
  Json document = moves_json(result.diff.total);
  document["schema"] = "moesim.place-diff/1";
  document["before"] = side_json(result.before);
  document["after"] = side_json(result.after);
  if (result.cost.expert_bytes > 0.0) {
    document["bytes"] = result.diff.bytes;
    document["intra_node_bytes"] = result.diff.intra_bytes;
    document["inter_node_bytes"] = result.diff.inter_bytes;
  }
  if (result.has_time()) {
    document["move_s"] = result.diff.seconds;
  }
  document["layers"] = Json::array();
  for (const LayerMoves& layer : result.diff.layers) {
    document["layers"].push_back(moves_json(layer));
  }
  document["loaded_by_device"] = result.diff.loaded;
  document["dropped_by_device"] = result.diff.dropped;
  document["moves"] = Json::array();
  for (const ExpertMove& move : result.diff.moves) {
    document["moves"].push_back(
        {{"layer", move.layer}, {"expert", move.expert}, {"from", move.from}, {"to", move.to}});
  }
  return document;
}

}  // namespace moesim
