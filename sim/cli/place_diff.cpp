#include "sim/cli/place_diff.h"

#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "placement/diff.h"
#include "placement/evaluate.h"
#include "placement/formats/formats.h"
#include "sim/cli/place_scenario.h"
#include "sim/cli/quantity_option.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/engine/scenario_file.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

struct Options {
  CommonOptions common;
  std::string before;
  std::string after;
  std::string problem;
  int devices = 0;
  int devices_per_node = 0;
  int first_layer = 0;
  std::string expert_bytes;
  std::string intra_bandwidth;
  std::string inter_bandwidth;
};

struct Scores {
  PlacementScore before;
  PlacementScore after;
  bool in_seconds = false;
};

struct Result {
  PlacementFile before;
  PlacementFile after;
  PlacementDiff diff;
  MoveCost cost;
  std::optional<Scores> scores;
};

// A problem, and what a scenario says beyond it.
struct Subject {
  PlacementProblem problem;
  bool is_scenario = false;
  int first_layer = 0;
  double intra_bandwidth = 0.0;
  double inter_bandwidth = 0.0;
};

Subject read_subject(const Options& options) {
  const Json document = read_json_file(options.problem);
  if (is_placement_problem(document)) {
    return {.problem = read_placement_problem(document, options.problem)};
  }
  PlaceScenarioOptions scenario;
  scenario.input = options.problem;
  scenario.folders = catalog_folders(options.common.catalog);
  scenario.fit_share = 1.0;
  const auto [read, warnings] = read_scenario_document(options.problem, {});
  print_warnings(warnings);
  const PlaceScenario subject(read, scenario);
  const NodeSpec& node = subject.cluster().node;
  const double nics = std::min(node.nics, node.devices);
  return {.problem = subject.problem(),
          .is_scenario = true,
          .first_layer = subject.moe_layers().front(),
          .intra_bandwidth = node.device_link.bandwidth.si(),
          .inter_bandwidth = node.nic_link.bandwidth.si() * nics / node.devices};
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

double given_or(const std::string& option, const std::string& text, double otherwise) {
  return text.empty() ? otherwise : quantity_option<Bandwidth>(option, text);
}

Result compare(const Options& options) {
  std::optional<Subject> subject;
  if (!options.problem.empty()) {
    subject = read_subject(options);
  }
  const PlacementProblem* problem = subject ? &subject->problem : nullptr;
  Result result;
  FormatOptions reading{options.devices, options.first_layer, {}};
  if (problem != nullptr && reading.devices == 0) {
    reading.devices = problem->devices;
  }
  if (subject && reading.first_layer == 0) {
    reading.first_layer = subject->first_layer;
  }
  result.before = read_placement_file(options.before, reading);
  result.after = read_placement_file(options.after, reading);
  const int devices = std::max(result.before.placement.devices, result.after.placement.devices);
  result.cost.devices_per_node = options.devices_per_node > 0 ? options.devices_per_node
                                 : problem != nullptr         ? problem->devices_per_node
                                                              : devices;
  result.cost.expert_bytes = quantity_option<Bytes>("--expert-bytes", options.expert_bytes);
  if (options.expert_bytes.empty() && problem != nullptr) {
    result.cost.expert_bytes = problem->expert_bytes;
  }
  result.cost.intra_bandwidth = given_or("--intra-bandwidth", options.intra_bandwidth,
                                         subject ? subject->intra_bandwidth : 0.0);
  result.cost.inter_bandwidth = given_or("--inter-bandwidth", options.inter_bandwidth,
                                         subject ? subject->inter_bandwidth : 0.0);
  result.diff = diff_placements(result.before.placement, result.after.placement, result.cost,
                                options.before + " and " + options.after);
  if (subject) {
    result.scores = Scores{score_of(*subject, result.before, options.before),
                           score_of(*subject, result.after, options.after), problem->in_seconds};
  }
  return result;
}

// Whether bandwidths for all that moves were given.
bool has_time(const Result& result) {
  return result.cost.expert_bytes > 0.0 &&
         (result.diff.intra_bytes == 0.0 || result.cost.intra_bandwidth > 0.0) &&
         (result.diff.inter_bytes == 0.0 || result.cost.inter_bandwidth > 0.0) &&
         result.cost.intra_bandwidth + result.cost.inter_bandwidth > 0.0;
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

Json document_of(const Options& options, const Result& result) {
  Json document = moves_json(result.diff.total);
  document["schema"] = "moesim.place-diff/1";
  document["before"] = {{"file", options.before}, {"format", result.before.format}};
  document["after"] = {{"file", options.after}, {"format", result.after.format}};
  if (result.cost.expert_bytes > 0.0) {
    document["bytes"] = result.diff.bytes;
    document["intra_node_bytes"] = result.diff.intra_bytes;
    document["inter_node_bytes"] = result.diff.inter_bytes;
  }
  if (has_time(result)) {
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
  if (result.scores) {
    document["before"]["score"] = score_json(result.scores->before);
    document["after"]["score"] = score_json(result.scores->after);
  }
  return document;
}

std::string score_table(const Scores& scores) {
  Table table({"cost", "before", "after", "change"});
  const auto row = [&](const char* name, double before, double after, auto text) {
    table.row({name, text(before), text(after),
               before != 0.0 ? percent(after / before - 1.0) : std::string()});
  };
  row("objective", scores.before.objective, scores.after.objective,
      scores.in_seconds ? human_seconds : human_count);
  row("sum of busiest GPUs' loads", scores.before.load, scores.after.load, human_count);
  row("traffic", scores.before.traffic, scores.after.traffic, human_count);
  row("balancedness (mean / max load)", scores.before.balancedness, scores.after.balancedness,
      percent);
  return table.text();
}

std::string moves_table(const Result& result) {
  const PlacementDiff& diff = result.diff;
  const bool bytes = result.cost.expert_bytes > 0.0;
  Table table(bytes ? std::vector<std::string>{"moves", "copies of experts", "bytes"}
                    : std::vector<std::string>{"moves", "copies of experts"});
  const auto row = [&](const char* name, int copies) {
    std::vector<std::string> cells{name, std::to_string(copies)};
    if (bytes) {
      cells.push_back(human_bytes(copies * result.cost.expert_bytes));
    }
    table.row(std::move(cells));
  };
  row("stay", diff.total.kept);
  row("loaded", diff.total.loaded);
  row("  from a GPU of the same node", diff.total.loaded - diff.total.across_nodes);
  row("  from another node", diff.total.across_nodes);
  row("dropped", diff.total.dropped);
  if (!diff.loaded.empty()) {
    row("most loaded by one GPU", *std::ranges::max_element(diff.loaded));
  }
  const auto changed = std::ranges::count_if(
      diff.layers, [](const LayerMoves& layer) { return layer.loaded + layer.dropped > 0; });
  std::string text = table.text() + "layers that change: " + std::to_string(changed) + " of " +
                     std::to_string(diff.layers.size()) + "\n";
  if (has_time(result)) {
    text += "time to move, all at once: " + human_seconds(diff.seconds) + "\n";
  }
  return text;
}

int run(const Options& options) {
  const Result result = compare(options);
  if (options.common.json) {
    std::cout << document_of(options, result).dump(1) << "\n";
    return 0;
  }
  std::cout << moves_table(result);
  if (result.scores) {
    std::cout << "\n" << score_table(*result.scores);
  }
  return 0;
}

}  // namespace

void add_place_diff(CLI::App& place, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = place.add_subcommand("diff", "what moves between two placements");
  sub->add_option("before", options->before, "placement, any format")->required()->type_name("A");
  sub->add_option("after", options->after, "placement, any format")->required()->type_name("B");
  sub->add_option("problem", options->problem,
                  "what each of them costs: a placement problem or a scenario")
      ->type_name("PROBLEM");
  sub->add_option("--devices", options->devices,
                  "GPUs, for files that do not say (sglang, trtllm, eplb)")
      ->check(CLI::Range(1, 1 << 16));
  sub->add_option("--gpus-per-node", options->devices_per_node,
                  "default: the problem's, or all GPUs in one node")
      ->check(CLI::Range(1, 1 << 16));
  sub->add_option("--first-layer", options->first_layer,
                  "dense layers before the first MoE layer (for sglang files)")
      ->check(CLI::Range(0, 1 << 16));
  sub->add_option("--expert-bytes", options->expert_bytes,
                  "weights of one expert in one layer, like \"44 MB\"");
  sub->add_option("--intra-bandwidth", options->intra_bandwidth,
                  "per GPU and direction inside a node, like \"200 GB/s\"");
  sub->add_option("--inter-bandwidth", options->inter_bandwidth,
                  "per GPU and direction between nodes, like \"50 GB/s\"");
  options->common.add_json(*sub);
  options->common.add_catalog(*sub);
  sub->footer(
      "Examples:\n"
      "  moesim place diff today.json tomorrow.yaml scenario.json\n"
      "  moesim place diff today.json tomorrow.yaml --devices 32 --gpus-per-node 8 \\\n"
      "      --expert-bytes \"44 MB\" --intra-bandwidth \"200 GB/s\" --inter-bandwidth \"50 "
      "GB/s\"");
  sub->callback([options, &command] { command.run = [options] { return run(*options); }; });
}

}  // namespace moesim
