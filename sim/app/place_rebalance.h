// What `moesim place rebalance` does: what following drifting loads gains and costs.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "placement/rebalance/rebalance.h"
#include "sim/core/progress.h"
#include "sim/core/units.h"
#include "sim/engine/catalog_folders.h"
#include "sim/engine/scenario_file.h"

namespace moesim {

struct PlaceRebalanceOptions {
  std::string name = {};                 // of the task, for messages
  std::vector<std::string> traces = {};  // .moetrace files, tokens or loads, one behind the other
  std::string scenario = {};     // what a scenario's document is called in messages: its path
  CatalogFolders catalogs = {};  // of the scenario
  std::vector<std::string> policies = {};  // empty: all
  int windows = 20;                        // per token trace
  double steps_per_window = 0.0;   // that a window stands for; 0: as many as its tokens fill
  double tokens_per_device = 0.0;  // of a step; 0: the scenario's, or 128
  int devices = 0;                 // 0: the scenario's
  int devices_per_node = 0;        // 0: the scenario's, or all in one node
  int slots = 0;  // per device and layer; 0: the scenario's, or as few as hold every expert
  std::string initial =
      {};               // placement file to begin with; empty: slot s holds expert s mod experts
  int first_layer = 0;  // of it: dense layers before the first MoE layer
  // Default: the scenario's.
  std::optional<Seconds> time_per_token = {};     // of a device for one more token of one expert
  std::optional<Bytes> expert_bytes = {};         // of one expert in one layer
  std::optional<Bandwidth> intra_bandwidth = {};  // per device and direction, inside a node
  std::optional<Bandwidth> inter_bandwidth = {};  // and between nodes
  MigrationMode migration = MigrationMode::stall;
  double slowdown = 0.1;  // background: steps take 1 + this times as long while experts move
  std::string method = "eplb";
  double time_limit_s = 0.0;  // per placement; 0: none
  std::uint64_t seed = 1;     // of randomised methods
  RebalanceOptions rebalance = {};
  int threads = 1;         // results do not depend on it
  Progress progress = {};  // of policies
};

struct PlaceRebalanceResult {
  std::string method;
  std::vector<double> window_steps;  // [window]
  int layers = 0;
  int devices = 0;
  std::vector<RebalanceOutcome> outcomes;  // by policy
  std::vector<std::string> warnings;       // of how the files that a scenario names were read
};

// `scenario`: says what the options leave open; null: none. Throws ConfigError that names the
// option that is missing ("--gpus") or the file that is wrong.
PlaceRebalanceResult place_rebalance(const PlaceRebalanceOptions& options,
                                     const nlohmann::json* scenario = nullptr);

nlohmann::json to_json(const PlaceRebalanceResult& result);

// Name and summary of every policy.
std::vector<std::pair<std::string_view, std::string_view>> rebalance_policy_names();

}  // namespace moesim
