// moesim place rebalance: what following drifting loads gains and costs.
#pragma once

#include <string>
#include <vector>

#include "placement/rebalance.h"
#include "sim/cli/command_line.h"

namespace moesim {

struct RebalanceArguments {
  CommonOptions common;
  std::vector<std::string> traces;
  std::vector<std::string> policies;
  int windows = 20;  // per token trace
  int devices = 0;
  int devices_per_node = 0;
  int slots = 0;  // per device; 0: as few as hold every expert
  std::string initial;
  int first_layer = 0;
  double tokens_per_device = 128.0;  // of a step
  double steps = 0.0;                // of a window; 0: as many as its tokens fill
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

// Reads the traces and checks everything. Throws ConfigError.
RebalanceTask read_rebalance_task(const RebalanceArguments& arguments);

// Below `place`.
void add_place_rebalance(CLI::App& place, Command& command);

}  // namespace moesim
