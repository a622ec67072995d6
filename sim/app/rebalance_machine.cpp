// The machine of a rebalancing task: a scenario's, an option's where one is given.
#include <algorithm>

#include "sim/app/rebalance_task.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/engine/simulation.h"

namespace moesim {
namespace {

void take_scenario(nlohmann::json document, const PlaceRebalanceOptions& options,
                   RebalanceMachine& machine) {
  // Only what experts cost is asked for: no solver needs to place them first.
  apply_override(document, "/placement/policy=contiguous");
  const Library library(options.catalogs);
  const Simulation simulation(parse_scenario(document, options.scenario), library, options.threads);
  if (simulation.routing() == nullptr) {
    throw ConfigError(options.scenario, "its model has no routed experts to place");
  }
  machine.warnings = simulation.scenario().warnings;
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

void require(bool given, const std::string& option, const std::string& what) {
  if (!given) {
    throw ConfigError(option, "missing; give " + what + ", or a scenario");
  }
}

void take_options(const PlaceRebalanceOptions& options, RebalanceMachine& machine) {
  machine.devices = options.devices > 0 ? options.devices : machine.devices;
  require(machine.devices > 0, "--gpus", "the number of GPUs that share the experts");
  if (options.devices_per_node > 0 || machine.devices_per_node == 0) {
    machine.devices_per_node =
        options.devices_per_node > 0 ? options.devices_per_node : machine.devices;
  }
  machine.slots = options.slots > 0 ? options.slots : machine.slots;
  if (options.tokens_per_device > 0.0 || machine.step_tokens == 0.0) {
    constexpr double usual = 128.0;
    const double each = options.tokens_per_device > 0.0 ? options.tokens_per_device : usual;
    machine.step_tokens = each * machine.devices;
  }
  machine.seconds_per_pair =
      options.time_per_token.value_or(Seconds(machine.seconds_per_pair)).si();
  machine.expert_bytes = options.expert_bytes.value_or(Bytes(machine.expert_bytes)).si();
  machine.intra_bandwidth =
      options.intra_bandwidth.value_or(Bandwidth(machine.intra_bandwidth)).si();
  machine.inter_bandwidth =
      options.inter_bandwidth.value_or(Bandwidth(machine.inter_bandwidth)).si();
}

}  // namespace

RebalanceMachine rebalance_machine(const PlaceRebalanceOptions& options,
                                   const nlohmann::json* scenario) {
  RebalanceMachine machine;
  machine.traces = options.traces;
  if (scenario != nullptr) {
    take_scenario(*scenario, options, machine);
  }
  if (machine.traces.empty()) {
    throw scenario != nullptr
        ? ConfigError(options.scenario,
                      "its routing is drawn, and does not drift; give traces (.moetrace) too")
        : ConfigError("place rebalance", "no traces (.moetrace), and no scenario that replays one");
  }
  take_options(options, machine);
  require(machine.seconds_per_pair > 0.0, "--time-per-token", "what a token of an expert takes");
  require(machine.expert_bytes > 0.0, "--expert-bytes", "the weights of one expert in one layer");
  require(machine.devices_per_node == 1 || machine.intra_bandwidth > 0.0, "--intra-bandwidth",
          "what a GPU has inside its node");
  require(machine.devices_per_node >= machine.devices || machine.inter_bandwidth > 0.0,
          "--inter-bandwidth", "what a GPU has between nodes");
  return machine;
}

}  // namespace moesim
