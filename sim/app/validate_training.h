// What `moesim validate training` does: published training runs, predicted, against their measured
// figures; a system also with coefficients that have not seen it.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sim/core/progress.h"
#include "sim/engine/catalog_folders.h"

namespace moesim {

struct ValidateTrainingOptions {
  std::string file = {};  // recognised by its header: peak memory or step times
  CatalogFolders catalogs = {};
  std::string points = {};  // CSV file to write, one line per judged row; empty: none
  int threads = 1;          // results do not depend on it
  bool refit = true;        // step times: fit the framework's coefficients, seven times the work
  Progress progress = {};
};

struct TrainingGroup {
  std::string name;  // "peak_memory/moe/h100_sxm", "step_s/deepseek-v3/gb200"
  std::int64_t n = 0;
  double median_ape = 0.0;
  double p90_ape = 0.0;
  double mean_signed_error = 0.0;
  double naive_median_ape = 0.0;
  // Of peak_memory: of what is allocated between steps.
  std::optional<double> static_median_ape = std::nullopt;
  std::optional<double> static_p90_ape = std::nullopt;
};

// Pairs of rows of one campaign that differ in one choice ("dispatcher", "overlap", ...).
struct TrainingPairs {
  std::string choice;
  std::int64_t n = 0;
  std::int64_t direction_right = 0;   // the same row is faster; pairs within 6 % count as right
  std::int64_t within_10_points = 0;  // ratios of the two times differ by at most 0.10
};

// A framework's coefficients (sim/app/training_fit.h), fitted to the judged rows of all systems but
// one; of all where `left_out` is empty.
struct TrainingFit {
  std::string left_out;
  std::int64_t n = 0;
  double host_us = 0.0;
  double slowdown = 1.0;
};

struct ValidateTrainingResult {
  std::vector<TrainingGroup> groups;
  std::vector<TrainingGroup> pooled;            // the same rows otherwise
  std::vector<TrainingPairs> pairs = {};        // of step times
  std::vector<TrainingFit> fits = {};           // of step times
  std::map<std::string, std::int64_t> skipped;  // reason -> rows

  [[nodiscard]] std::int64_t judged() const;
};

// Throws ConfigError for a table that is neither, for damaged cells and for damaged profiles,
// std::system_error when the points cannot be written.
ValidateTrainingResult validate_training(const ValidateTrainingOptions& options);

// {"groups": [...], "pooled": [...], "skipped": [...], "rows_read"}.
nlohmann::json to_json(const ValidateTrainingResult& result);

}  // namespace moesim
