// Published step times of training runs, as scenarios.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/csv.h"

namespace moesim {

struct TrainingPoint {
  std::string id;
  std::string model;      // catalog name
  std::string system;     // catalog name of the device
  std::string framework;  // as policy.framework names it
  std::string version;    // of the framework, as the table says it
  std::string group;      // of the table: rows of one campaign
  std::string quality;
  std::string precision;   // "bf16", "fp8", "fp4"
  std::string dispatcher;  // "alltoall", "deepep", "hybridep"
  std::string library;     // whose kernels exchange: "uccl", empty: the dispatcher's own
  std::string recompute;   // "none", "full" or modules
  bool overlap = false;
  int layers = 0;  // other than the catalog's; 0: as the catalog has it
  std::int64_t gpus = 0;
  std::int64_t tp = 1;
  std::int64_t pp = 1;
  std::int64_t vpp = 1;
  std::int64_t cp = 1;
  std::int64_t ep = 1;
  std::int64_t etp = 1;
  std::int64_t micro_batch = 1;
  std::int64_t global_batch = 0;
  std::int64_t sequence = 0;
  std::int64_t mtp_layers = 0;
  bool fsdp = false;
  std::string fabric;  // as the table says it
  double seconds = 0;  // of an iteration
  std::uint32_t line = 0;

  // Tokens of an iteration.
  [[nodiscard]] double tokens() const { return static_cast<double>(global_batch * sequence); }
};

struct TrainingPoints {
  std::vector<TrainingPoint> points;
  std::map<std::string, std::int64_t> skipped;  // reason -> rows
};

// Is this the header of such a table?
bool is_training_steps(const CsvTable& table);

// calibrate/README.md has the rules. Throws ConfigError for damaged cells.
TrainingPoints read_training_steps(const CsvTable& table);

// The scenario of a row. `model`: the catalog's name, or a document with other layers.
nlohmann::json training_scenario(const TrainingPoint& point, const nlohmann::json& model);

// Two rows of one campaign that differ in one choice alone: layout, software and what graphs
// capture are the same.
struct TrainingPair {
  std::string choice;     // "dispatcher", "overlap", "recompute", "micro_batch"
  std::size_t first = 0;  // index into the points
  std::size_t second = 0;
};
std::vector<TrainingPair> training_pairs(const std::vector<TrainingPoint>& points);

}  // namespace moesim
