#include "sim/cli/place_rebalance.h"

#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "sim/app/place_rebalance.h"
#include "sim/cli/quantity_option.h"
#include "sim/core/config.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

struct Arguments {
  CommonOptions common;
  PlaceRebalanceOptions task;
  std::vector<std::string> sources;    // traces, and at most one scenario
  std::vector<std::string> overrides;  // of the scenario
  std::string migration = "stall";
  std::string time_per_token;
  std::string expert_bytes;
  std::string intra_bandwidth;
  std::string inter_bandwidth;
};

// Weighted by nothing: the plain mean over windows.
double mean_imbalance(const RebalanceOutcome& outcome) {
  double sum = 0.0;
  for (const WindowOutcome& window : outcome.windows) {
    sum += window.max_over_mean;
  }
  return sum / static_cast<double>(outcome.windows.size());
}

std::string text_of(const PlaceRebalanceResult& result) {
  double steps = 0.0;
  for (const double of_window : result.window_steps) {
    steps += of_window;
  }
  const auto& outcomes = result.outcomes;
  const auto never = std::ranges::find(outcomes, "never", &RebalanceOutcome::policy);
  Table table({"policy", "expert time", "serving", "moving", "moves", "bytes per GPU",
               "busiest / mean", "against never"});
  for (const RebalanceOutcome& outcome : outcomes) {
    table.row({std::string(outcome.policy), human_seconds(outcome.total_s),
               human_seconds(outcome.serving_s), human_seconds(outcome.migration_s),
               std::to_string(outcome.migrations), human_bytes(outcome.bytes / result.devices),
               human_count(mean_imbalance(outcome)),
               never == outcomes.end() ? std::string()
                                       : percent(outcome.total_s / never->total_s - 1.0)});
  }
  return table.text() + "\n" + std::to_string(result.window_steps.size()) + " windows, " +
         human_count(steps) + " steps of experts in " + std::to_string(result.layers) +
         " layers; the oracle knows all loads beforehand\n";
}

// Traces and the scenario apart.
std::optional<Json> take_sources(const Arguments& arguments, PlaceRebalanceOptions& task) {
  task.name = arguments.sources.front();
  for (const std::string& source : arguments.sources) {
    if (!source.ends_with(".json")) {
      task.traces.push_back(source);
    } else if (task.scenario.empty()) {
      task.scenario = source;
    } else {
      throw ConfigError(source, "is a second scenario; give one, and traces (.moetrace)");
    }
  }
  if (!task.scenario.empty()) {
    ScenarioDocument scenario = read_scenario_document(task.scenario, arguments.overrides);
    print_warnings(scenario.warnings);
    return std::move(scenario.json);
  }
  if (!arguments.overrides.empty()) {
    throw ConfigError("--set", "overrides a scenario, but there is none");
  }
  return std::nullopt;
}

int run(const Arguments& arguments) {
  PlaceRebalanceOptions task = arguments.task;
  const std::optional<Json> scenario = take_sources(arguments, task);
  if (scenario) {
    task.catalogs = catalogs_of(arguments.common);
  }
  task.time_per_token = quantity_option<Seconds>("--time-per-token", arguments.time_per_token);
  task.expert_bytes = quantity_option<Bytes>("--expert-bytes", arguments.expert_bytes);
  task.intra_bandwidth = quantity_option<Bandwidth>("--intra-bandwidth", arguments.intra_bandwidth);
  task.inter_bandwidth = quantity_option<Bandwidth>("--inter-bandwidth", arguments.inter_bandwidth);
  task.migration =
      arguments.migration == "stall" ? MigrationMode::stall : MigrationMode::background;
  task.threads = arguments.common.threads;
  PlaceRebalanceResult result;
  {
    ProgressBar progress("rebalancing");
    task.progress = [&progress](double share) { progress.show(share); };
    result = place_rebalance(task, scenario ? &*scenario : nullptr);
  }
  print_warnings(result.warnings);
  std::cout << (arguments.common.json ? to_json(result).dump(1) + "\n" : text_of(result));
  return 0;
}

std::string policy_list() {
  std::string text = "Policies:\n";
  for (const auto& [name, summary] : rebalance_policy_names()) {
    text += "  " + std::string(name) + ": " + std::string(summary) + "\n";
  }
  return text;
}

void add_machine_options(CLI::App& sub, Arguments& arguments) {
  sub.add_option("--gpus", arguments.task.devices, "GPUs that share the experts")
      ->check(CLI::Range(1, 1 << 14));
  sub.add_option("--gpus-per-node", arguments.task.devices_per_node, "default: all in one node")
      ->check(CLI::Range(1, 1 << 14));
  sub.add_option("--slots", arguments.task.slots,
                 "expert slots per GPU and layer; default: as few as hold every expert")
      ->check(CLI::Range(1, 1 << 14));
  sub.add_option("--initial", arguments.task.initial,
                 "placement to begin with, any format; default: slot s holds "
                 "expert s mod experts")
      ->type_name("FILE");
  sub.add_option("--first-layer", arguments.task.first_layer,
                 "dense layers before the first MoE layer (for sglang files)")
      ->check(CLI::Range(0, 1 << 14));
  sub.add_option("--expert-bytes", arguments.expert_bytes,
                 "weights of one expert in one layer, like \"44 MB\"");
  sub.add_option("--intra-bandwidth", arguments.intra_bandwidth,
                 "per GPU and direction inside a node, like \"200 GB/s\"");
  sub.add_option("--inter-bandwidth", arguments.inter_bandwidth,
                 "per GPU and direction between nodes, like \"50 GB/s\"");
  sub.add_option("--migration", arguments.migration,
                 "stall: serving waits for experts to move; background: it "
                 "goes on, slower")
      ->check(CLI::IsMember({"stall", "background"}))
      ->capture_default_str();
  sub.add_option("--slowdown", arguments.task.slowdown,
                 "background: steps take 1 + this times as long while experts move")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
}

}  // namespace

void add_place_rebalance(CLI::App& place, Command& command) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* sub =
      place.add_subcommand("rebalance", "what following drifting loads gains and costs");
  sub->add_option("sources", arguments->sources,
                  "traces (.moetrace, tokens or loads), one behind the other; "
                  "a scenario (.json) "
                  "for what the options below do not say")
      ->required()
      ->type_name("TRACE|SCENARIO");
  sub->add_option("--set", arguments->overrides, "override a field of the scenario")
      ->type_name("POINTER=VALUE");
  sub->add_option("--windows", arguments->task.windows, "windows that each token trace is cut into")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  sub->add_option("--tokens-per-gpu", arguments->task.tokens_per_device,
                  "of a step; default: the scenario's, or 128")
      ->check(CLI::Range(1.0, 1e9));
  sub->add_option("--steps-per-window", arguments->task.steps_per_window,
                  "steps that a window stands for; default: as many as its tokens fill")
      ->check(CLI::PositiveNumber);
  sub->add_option("--time-per-token", arguments->time_per_token,
                  "of a GPU for one more token of one expert, like \"0.2 us\"");
  add_machine_options(*sub, *arguments);
  sub->add_option("--method", arguments->task.method,
                  "solver of new placements; `moesim catalog list` has them")
      ->capture_default_str();
  sub->add_option("--time-limit", arguments->task.time_limit_s, "seconds for each new placement")
      ->check(CLI::Range(0.001, 1e6));
  sub->add_option("--seed", arguments->task.seed, "of randomised methods")->capture_default_str();
  sub->add_option("--policy", arguments->task.policies, "default: all; may be repeated");
  sub->add_option("--every", arguments->task.rebalance.every,
                  "periodic policies: every so many windows")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  sub->add_option("--memory", arguments->task.rebalance.memory,
                  "new placements are made for the loads of so many past windows")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  sub->add_option("--horizon", arguments->task.rebalance.horizon,
                  "threshold: windows over which a gain is expected to last")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str();
  arguments->common.add_json(*sub);
  arguments->common.add_catalog(*sub);
  arguments->common.add_threads(*sub);
  sub->footer(policy_list() +
              "Examples:\n  moesim place rebalance "
              "SCENARIO.json day.moetrace night.moetrace "
              "--steps-per-window 3000\n  moesim place "
              "rebalance day.moetrace night.moetrace "
              "--gpus 32 --gpus-per-node 8 --slots 9 \\\n      "
              "--time-per-token \"0.2 us\" "
              "--expert-bytes \"44 MB\" --intra-bandwidth "
              "\"200 GB/s\" --inter-bandwidth \"50 GB/s\"");
  sub->callback([arguments, &command] { command.run = [arguments] { return run(*arguments); }; });
}

}  // namespace moesim
