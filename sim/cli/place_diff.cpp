#include "sim/cli/place_diff.h"

#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "sim/app/place.h"
#include "sim/app/place_diff.h"
#include "sim/cli/quantity_option.h"
#include "sim/core/config.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

struct Options {
  CommonOptions common;
  PlaceDiffOptions task;
  std::string expert_bytes;
  std::string intra_bandwidth;
  std::string inter_bandwidth;
};

std::string score_table(const PlacementScore& score_before, const PlacementScore& score_after,
                        bool in_seconds) {
  Table table({"cost", "before", "after", "change"});
  const auto row = [&](const char* name, double before, double after, auto text) {
    table.row({name, text(before), text(after),
               before != 0.0 ? percent(after / before - 1.0) : std::string()});
  };
  row("objective", score_before.objective, score_after.objective,
      in_seconds ? human_seconds : human_count);
  row("sum of busiest GPUs' loads", score_before.load, score_after.load, human_count);
  row("traffic", score_before.traffic, score_after.traffic, human_count);
  row("balancedness (mean / max load)", score_before.balancedness, score_after.balancedness,
      percent);
  return table.text();
}

std::string moves_table(const PlaceDiffResult& result) {
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
  if (result.has_time()) {
    text += "time to move, all at once: " + human_seconds(diff.seconds) + "\n";
  }
  return text;
}

int run(const Options& options) {
  PlaceDiffOptions task = options.task;
  task.expert_bytes = quantity_option<Bytes>("--expert-bytes", options.expert_bytes);
  task.intra_bandwidth = quantity_option<Bandwidth>("--intra-bandwidth", options.intra_bandwidth);
  task.inter_bandwidth = quantity_option<Bandwidth>("--inter-bandwidth", options.inter_bandwidth);
  std::optional<Json> problem;
  if (!task.problem.empty()) {
    problem = read_json_file(task.problem);
    if (place_kind(*problem) != PlaceKind::problem) {
      ScenarioDocument scenario = scenario_document(*problem, task.problem, {});
      print_warnings(scenario.warnings);
      problem = std::move(scenario.json);
      task.catalogs = catalogs_of(options.common);
    }
  }
  const PlaceDiffResult result = place_diff(task, problem ? &*problem : nullptr);
  print_warnings(result.warnings);
  if (options.common.json) {
    std::cout << to_json(result).dump(1) << "\n";
    return 0;
  }
  std::cout << moves_table(result);
  if (result.before.score && result.after.score) {
    std::cout << "\n"
              << score_table(*result.before.score, *result.after.score, result.scores_in_seconds);
  }
  return 0;
}

}  // namespace

void add_place_diff(CLI::App& place, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = place.add_subcommand("diff", "what moves between two placements");
  sub->add_option("before", options->task.before, "placement, any format")
      ->required()
      ->type_name("A");
  sub->add_option("after", options->task.after, "placement, any format")
      ->required()
      ->type_name("B");
  sub->add_option("problem", options->task.problem,
                  "what each of them costs: a placement problem or a scenario")
      ->type_name("PROBLEM");
  sub->add_option("--devices", options->task.devices,
                  "GPUs, for files that do not say (sglang, trtllm, eplb)")
      ->check(CLI::Range(1, 1 << 16));
  sub->add_option("--gpus-per-node", options->task.devices_per_node,
                  "default: the problem's, or all GPUs in one node")
      ->check(CLI::Range(1, 1 << 16));
  sub->add_option("--first-layer", options->task.first_layer,
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
      "  moesim place diff today.json tomorrow.yaml --devices 32 "
      "--gpus-per-node 8 \\\n"
      "      --expert-bytes \"44 MB\" --intra-bandwidth \"200 GB/s\" "
      "--inter-bandwidth \"50 "
      "GB/s\"");
  sub->callback([options, &command] { command.run = [options] { return run(*options); }; });
}

}  // namespace moesim
