#include "sim/cli/place_rebalance.h"

#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "sim/core/error.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

std::vector<const RebalancePolicyEntry*> chosen_policies(const RebalanceArguments& arguments) {
  std::vector<const RebalancePolicyEntry*> chosen;
  for (const std::string& name : arguments.policies) {
    chosen.push_back(&find_rebalance_policy(name, "--policy"));
  }
  for (const RebalancePolicyEntry& policy : rebalance_policies()) {
    if (arguments.policies.empty()) {
      chosen.push_back(&policy);
    }
  }
  return chosen;
}

Json json_of(const RebalanceOutcome& outcome) {
  Json windows = Json::array();
  for (const WindowOutcome& window : outcome.windows) {
    windows.push_back({{"serving_s", window.cost.serving_s},
                       {"migration_s", window.cost.migration_s},
                       {"bytes", window.bytes},
                       {"migrated", window.migrated},
                       {"max_over_mean", window.max_over_mean}});
  }
  return {{"policy", outcome.policy},       {"total_s", outcome.total_s},
          {"serving_s", outcome.serving_s}, {"migration_s", outcome.migration_s},
          {"bytes", outcome.bytes},         {"migrations", outcome.migrations},
          {"windows", std::move(windows)}};
}

Json document_of(const std::string& method, const RebalanceStudy& study,
                 const std::vector<RebalanceOutcome>& outcomes) {
  Json document{{"schema", "moesim.place-rebalance/1"},
                {"method", method},
                {"windows", study.windows()},
                {"window_steps", Json::array()},
                {"policies", Json::array()}};
  for (const RebalanceWindow& window : study.task().windows) {
    document["window_steps"].push_back(window.steps);
  }
  for (const RebalanceOutcome& outcome : outcomes) {
    document["policies"].push_back(json_of(outcome));
  }
  return document;
}

// Weighted by nothing: the plain mean over windows.
double mean_imbalance(const RebalanceOutcome& outcome) {
  double sum = 0.0;
  for (const WindowOutcome& window : outcome.windows) {
    sum += window.max_over_mean;
  }
  return sum / static_cast<double>(outcome.windows.size());
}

std::string text_of(const RebalanceStudy& study, const std::vector<RebalanceOutcome>& outcomes) {
  double steps = 0.0;
  for (const RebalanceWindow& window : study.task().windows) {
    steps += window.steps;
  }
  const auto never = std::ranges::find(outcomes, "never", &RebalanceOutcome::policy);
  Table table({"policy", "expert time", "serving", "moving", "moves", "bytes per GPU",
               "busiest / mean", "against never"});
  for (const RebalanceOutcome& outcome : outcomes) {
    table.row({std::string(outcome.policy), human_seconds(outcome.total_s),
               human_seconds(outcome.serving_s), human_seconds(outcome.migration_s),
               std::to_string(outcome.migrations),
               human_bytes(outcome.bytes / study.task().problem.devices),
               human_count(mean_imbalance(outcome)),
               never == outcomes.end() ? std::string()
                                       : percent(outcome.total_s / never->total_s - 1.0)});
  }
  return table.text() + "\n" + std::to_string(study.windows()) + " windows, " + human_count(steps) +
         " steps of experts in " + std::to_string(study.task().problem.layers) +
         " layers; the oracle knows all loads beforehand\n";
}

int run(const RebalanceArguments& arguments) {
  const auto policies = chosen_policies(arguments);
  RebalanceStudy study(read_rebalance_task(arguments), arguments.sources.front());
  std::vector<RebalanceOutcome> outcomes;
  {
    ProgressBar progress("rebalancing");
    for (const RebalancePolicyEntry* policy : policies) {
      if (const std::string why = policy->unfit(study.task()); !why.empty()) {
        throw ConfigError("--policy " + std::string(policy->name), "cannot be used: " + why);
      }
      outcomes.push_back(run_rebalance_policy(*policy, study));
      progress.show(static_cast<double>(outcomes.size()) / static_cast<double>(policies.size()));
    }
  }
  if (arguments.common.json) {
    std::cout << document_of(arguments.method, study, outcomes).dump(1) << "\n";
  } else {
    std::cout << text_of(study, outcomes);
  }
  return 0;
}

std::string policy_list() {
  std::string text = "Policies:\n";
  for (const RebalancePolicyEntry& policy : rebalance_policies()) {
    text += "  " + std::string(policy.name) + ": " + std::string(policy.summary) + "\n";
  }
  return text;
}

void add_machine_options(CLI::App& sub, RebalanceArguments& arguments) {
  sub.add_option("--gpus", arguments.devices, "GPUs that share the experts")
      ->check(CLI::Range(1, 1 << 14));
  sub.add_option("--gpus-per-node", arguments.devices_per_node, "default: all in one node")
      ->check(CLI::Range(1, 1 << 14));
  sub.add_option("--slots", arguments.slots,
                 "expert slots per GPU and layer; default: as few as hold every expert")
      ->check(CLI::Range(1, 1 << 14));
  sub.add_option("--initial", arguments.initial,
                 "placement to begin with, any format; default: slot s holds expert s mod experts")
      ->type_name("FILE");
  sub.add_option("--first-layer", arguments.first_layer,
                 "dense layers before the first MoE layer (for sglang files)")
      ->check(CLI::Range(0, 1 << 14));
  sub.add_option("--expert-bytes", arguments.expert_bytes,
                 "weights of one expert in one layer, like \"44 MB\"");
  sub.add_option("--intra-bandwidth", arguments.intra_bandwidth,
                 "per GPU and direction inside a node, like \"200 GB/s\"");
  sub.add_option("--inter-bandwidth", arguments.inter_bandwidth,
                 "per GPU and direction between nodes, like \"50 GB/s\"");
  sub.add_option("--migration", arguments.mode,
                 "stall: serving waits for experts to move; background: it goes on, slower")
      ->check(CLI::IsMember({"stall", "background"}))
      ->capture_default_str();
  sub.add_option("--slowdown", arguments.slowdown,
                 "background: steps take 1 + this times as long while experts move")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
}

}  // namespace

void add_place_rebalance(CLI::App& place, Command& command) {
  auto arguments = std::make_shared<RebalanceArguments>();
  CLI::App* sub =
      place.add_subcommand("rebalance", "what following drifting loads gains and costs");
  sub->add_option("sources", arguments->sources,
                  "traces (.moetrace, tokens or loads), one behind the other; a scenario (.json) "
                  "for what the options below do not say")
      ->required()
      ->type_name("TRACE|SCENARIO");
  sub->add_option("--set", arguments->overrides, "override a field of the scenario")
      ->type_name("POINTER=VALUE");
  sub->add_option("--windows", arguments->windows, "windows that each token trace is cut into")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  sub->add_option("--tokens-per-gpu", arguments->tokens_per_device,
                  "of a step; default: the scenario's, or 128")
      ->check(CLI::Range(1.0, 1e9));
  sub->add_option("--steps-per-window", arguments->steps,
                  "steps that a window stands for; default: as many as its tokens fill")
      ->check(CLI::PositiveNumber);
  sub->add_option("--time-per-token", arguments->time_per_token,
                  "of a GPU for one more token of one expert, like \"0.2 us\"");
  add_machine_options(*sub, *arguments);
  sub->add_option("--method", arguments->method,
                  "solver of new placements; `moesim catalog list` has them")
      ->capture_default_str();
  sub->add_option("--time-limit", arguments->time_limit_s, "seconds for each new placement")
      ->check(CLI::Range(0.001, 1e6));
  sub->add_option("--seed", arguments->seed, "of randomised methods")->capture_default_str();
  sub->add_option("--policy", arguments->policies, "default: all; may be repeated");
  sub->add_option("--every", arguments->options.every, "periodic policies: every so many windows")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  sub->add_option("--memory", arguments->options.memory,
                  "new placements are made for the loads of so many past windows")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  sub->add_option("--horizon", arguments->options.horizon,
                  "threshold: windows over which a gain is expected to last")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str();
  arguments->common.add_json(*sub);
  arguments->common.add_catalog(*sub);
  arguments->common.add_threads(*sub);
  sub->footer(
      policy_list() +
      "Examples:\n  moesim place rebalance SCENARIO.json day.moetrace night.moetrace "
      "--steps-per-window 3000\n  moesim place rebalance day.moetrace night.moetrace "
      "--gpus 32 --gpus-per-node 8 --slots 9 \\\n      --time-per-token \"0.2 us\" "
      "--expert-bytes \"44 MB\" --intra-bandwidth \"200 GB/s\" --inter-bandwidth \"50 GB/s\"");
  sub->callback([arguments, &command] { command.run = [arguments] { return run(*arguments); }; });
}

}  // namespace moesim
