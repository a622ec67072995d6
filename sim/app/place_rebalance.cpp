#include "sim/app/place_rebalance.h"

#include <nlohmann/json.hpp>

#include "sim/app/option_check.h"
#include "sim/app/rebalance_task.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

std::vector<const RebalancePolicyEntry*> chosen_policies(const PlaceRebalanceOptions& options) {
  std::vector<const RebalancePolicyEntry*> chosen;
  for (const std::string& name : options.policies) {
    chosen.push_back(&find_rebalance_policy(name, "--policy"));
  }
  for (const RebalancePolicyEntry& policy : rebalance_policies()) {
    if (options.policies.empty()) {
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

void check(const PlaceRebalanceOptions& options) {
  constexpr double most = 1e5;  // windows
  check_option("--windows", options.windows, 1, most);
  check_option("--every", options.rebalance.every, 1, most);
  check_option("--memory", options.rebalance.memory, 1, most);
  for (const auto& [option, value] : {std::pair{"--gpus", options.devices},
                                      std::pair{"--gpus-per-node", options.devices_per_node},
                                      std::pair{"--slots", options.slots}}) {
    check_option(option, value, 0, 1 << 14);
  }
}

}  // namespace

PlaceRebalanceResult place_rebalance(const PlaceRebalanceOptions& options, const Json* scenario) {
  check(options);
  const auto policies = chosen_policies(options);
  RebalanceMachine machine = rebalance_machine(options, scenario);
  RebalanceStudy study(read_rebalance_task(options, machine), options.name);
  PlaceRebalanceResult result;
  result.warnings = std::move(machine.warnings);
  result.method = options.method;
  result.layers = study.task().problem.layers;
  result.devices = study.task().problem.devices;
  for (const RebalanceWindow& window : study.task().windows) {
    result.window_steps.push_back(window.steps);
  }
  for (const RebalancePolicyEntry* policy : policies) {
    if (const std::string why = policy->unfit(study.task()); !why.empty()) {
      throw ConfigError("--policy " + std::string(policy->name), "cannot be used: " + why);
    }
    result.outcomes.push_back(run_rebalance_policy(*policy, study));
    tell(options.progress, result.outcomes.size(), policies.size());
  }
  return result;
}

Json to_json(const PlaceRebalanceResult& result) {
  Json document{{"schema", "moesim.place-rebalance/1"},
                {"method", result.method},
                {"windows", result.window_steps.size()},
                {"window_steps", result.window_steps},
                {"policies", Json::array()}};
  for (const RebalanceOutcome& outcome : result.outcomes) {
    document["policies"].push_back(json_of(outcome));
  }
  return document;
}

std::vector<std::pair<std::string_view, std::string_view>> rebalance_policy_names() {
  std::vector<std::pair<std::string_view, std::string_view>> names;
  for (const RebalancePolicyEntry& policy : rebalance_policies()) {
    names.emplace_back(policy.name, policy.summary);
  }
  return names;
}

}  // namespace moesim
