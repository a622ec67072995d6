// The machine of a rebalancing task: a scenario's, an option's where one is given.
#include <algorithm>

#include "sim/cli/place_rebalance.h"
#include "sim/cli/quantity_option.h"
#include "sim/core/config.h"
#include "sim/engine/scenario_file.h"
#include "sim/engine/simulation.h"

namespace moesim {
namespace {

void take_scenario(const std::string& path, const RebalanceArguments& arguments,
                   RebalanceMachine& machine) {
  ScenarioDocument document = read_scenario_document(path, arguments.overrides);
  print_warnings(document.warnings);
  // Only what experts cost is asked for: no solver needs to place them first.
  apply_override(document.json, "/placement/policy=contiguous");
  const Library library(catalog_folders(arguments.common.catalog));
  const Simulation simulation(parse_scenario(document, path), library, arguments.common.threads);
  if (simulation.routing() == nullptr) {
    throw ConfigError(path, "its model has no routed experts to place");
  }
  const PlacementShape shape = simulation.system().placement_shape();
  const PlacementCosts costs = simulation.system().placement_costs();
  machine.experts = shape.experts;
  machine.devices = shape.units;
  machine.devices_per_node = shape.units_per_node;
  machine.slots = (shape.experts + shape.redundant + shape.units - 1) / shape.units;
  machine.step_tokens = simulation.system().tokens_per_group();
  machine.seconds_per_pair = costs.seconds_per_pair;
  machine.expert_bytes = costs.expert_bytes;
  const NodeSpec& node = simulation.cluster().node;
  machine.intra_bandwidth = node.device_link.bandwidth.si();
  machine.inter_bandwidth =
      node.nic_link.bandwidth.si() * std::min(node.nics, node.devices) / node.devices;
  const std::string& routing = simulation.scenario().workload.routing;
  if (machine.traces.empty() && routing.ends_with(".moetrace")) {
    machine.traces.push_back(routing);
  }
}

template <class Q>
void take(const std::string& option, const std::string& text, double& value) {
  if (!text.empty()) {
    value = quantity_option<Q>(option, text);
  }
}

void require(bool given, const std::string& option, const std::string& what) {
  if (!given) {
    throw ConfigError(option, "missing; give " + what + ", or a scenario");
  }
}

void take_options(const RebalanceArguments& arguments, RebalanceMachine& machine) {
  machine.devices = arguments.devices > 0 ? arguments.devices : machine.devices;
  require(machine.devices > 0, "--gpus", "the number of GPUs that share the experts");
  if (arguments.devices_per_node > 0 || machine.devices_per_node == 0) {
    machine.devices_per_node =
        arguments.devices_per_node > 0 ? arguments.devices_per_node : machine.devices;
  }
  machine.slots = arguments.slots > 0 ? arguments.slots : machine.slots;
  if (arguments.tokens_per_device > 0.0 || machine.step_tokens == 0.0) {
    constexpr double usual = 128.0;
    const double each = arguments.tokens_per_device > 0.0 ? arguments.tokens_per_device : usual;
    machine.step_tokens = each * machine.devices;
  }
  take<Seconds>("--time-per-token", arguments.time_per_token, machine.seconds_per_pair);
  take<Bytes>("--expert-bytes", arguments.expert_bytes, machine.expert_bytes);
  take<Bandwidth>("--intra-bandwidth", arguments.intra_bandwidth, machine.intra_bandwidth);
  take<Bandwidth>("--inter-bandwidth", arguments.inter_bandwidth, machine.inter_bandwidth);
}

}  // namespace

RebalanceMachine rebalance_machine(const RebalanceArguments& arguments) {
  RebalanceMachine machine;
  std::vector<std::string> scenarios;
  for (const std::string& source : arguments.sources) {
    (source.ends_with(".json") ? scenarios : machine.traces).push_back(source);
  }
  if (scenarios.size() > 1) {
    throw ConfigError(scenarios[1], "is a second scenario; give one, and traces (.moetrace)");
  }
  if (!scenarios.empty()) {
    take_scenario(scenarios.front(), arguments, machine);
  } else if (!arguments.overrides.empty()) {
    throw ConfigError("--set", "overrides a scenario, but there is none");
  }
  if (machine.traces.empty()) {
    throw ConfigError(arguments.sources.front(),
                      "its routing is drawn, and does not drift; give traces (.moetrace) too");
  }
  take_options(arguments, machine);
  require(machine.seconds_per_pair > 0.0, "--time-per-token", "what a token of an expert takes");
  require(machine.expert_bytes > 0.0, "--expert-bytes", "the weights of one expert in one layer");
  require(machine.devices_per_node == 1 || machine.intra_bandwidth > 0.0, "--intra-bandwidth",
          "what a GPU has inside its node");
  require(machine.devices_per_node >= machine.devices || machine.inter_bandwidth > 0.0,
          "--inter-bandwidth", "what a GPU has between nodes");
  return machine;
}

}  // namespace moesim
