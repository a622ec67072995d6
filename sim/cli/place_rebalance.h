// moesim place rebalance: what following drifting loads gains and costs.
#pragma once

#include <string>
#include <vector>

#include "placement/rebalance/rebalance.h"
#include "sim/cli/command_line.h"

namespace moesim {

struct RebalanceArguments {
  CommonOptions common;
  std::vector<std::string> sources;    // traces, and at most one scenario
  std::vector<std::string> overrides;  // of the scenario
  std::vector<std::string> policies;
  int windows = 20;  // per token trace
  int devices = 0;
  int devices_per_node = 0;
  int slots = 0;  // per device; 0: as few as hold every expert
  std::string initial;
  int first_layer = 0;
  double tokens_per_device = 0.0;  // of a step; 0: the scenario's, or 128
  double steps = 0.0;              // of a window; 0: as many as its tokens fill
  std::string time_per_token;
  std::string expert_bytes;
  std::string intra_bandwidth;
  std::string inter_bandwidth;
  std::string mode = "stall";
  double slowdown = 0.1;
  std::string method = "eplb";
  std::uint64_t seed = 1;
  double time_limit_s = 0.0;  // per placement; 0: none
  RebalanceOptions options;
};

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
};

// Throws ConfigError naming the option that is missing.
RebalanceMachine rebalance_machine(const RebalanceArguments& arguments);

// Reads the traces and checks everything. Throws ConfigError.
RebalanceTask read_rebalance_task(const RebalanceArguments& arguments);

// Below `place`.
void add_place_rebalance(CLI::App& place, Command& command);

}  // namespace moesim
