// From traces, options and a scenario to a rebalancing task.
#pragma once

#include <string>
#include <vector>

#include "sim/app/place_rebalance.h"

namespace moesim {

// What serves the experts. Numbers in SI; every one is an option's or the scenario's.
struct RebalanceMachine {
  std::vector<std::string> traces;
  int experts = 0;  // with weights; 0: all of the trace's
  int devices = 0;
  int devices_per_node = 0;
  int slots = 0;  // per device; 0: as few as hold every expert
  double step_tokens = 0.0;
  double seconds_per_pair = 0.0;
  double expert_bytes = 0.0;
  double intra_bandwidth = 0.0;
  double inter_bandwidth = 0.0;
  std::vector<std::string> warnings;  // of how the scenario's files were read
};

// Throws ConfigError naming the option that is missing.
RebalanceMachine rebalance_machine(const PlaceRebalanceOptions& options,
                                   const nlohmann::json* scenario);

// Reads the traces and checks everything. Throws ConfigError.
RebalanceTask read_rebalance_task(const PlaceRebalanceOptions& options,
                                  const RebalanceMachine& machine);

}  // namespace moesim
