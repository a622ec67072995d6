// What `moesim validate steps` does: whole decode steps of published deployments, predicted by the
// function behind `simulate`, against their measured times; and whether the error bars hold.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "calibrate/validate/step_points.h"
#include "sim/core/progress.h"
#include "sim/engine/catalog_folders.h"

namespace moesim {

struct ValidateStepsOptions {
  std::string file = {};  // table of measured serving points, see step_points.h
  CatalogFolders catalogs = {};
  std::string points = {};  // CSV file to write, one line per judged row; empty: none
  int threads = 1;          // results do not depend on it
  Progress progress = {};
};

// Of one model, system, framework and precision; or of several such groups.
struct StepGroup {
  std::string name;  // "step_s/deepseek-v3/gb200/trtllm/fp8"; pooled "step_s/fp8"
  std::int64_t n = 0;
  double median_ape = 0.0;
  double p90_ape = 0.0;
  double mean_signed_error = 0.0;
  double coverage_80 = 0.0;       // share of rows inside the predicted 80 % interval
  double naive_median_ape = 0.0;  // of steps whose kernels are the spec sheet's
};

struct ValidateStepsResult {
  std::vector<StepGroup> groups;
  std::vector<StepGroup> pooled;                // the same rows by precision
  std::map<std::string, std::int64_t> skipped;  // reason -> rows

  [[nodiscard]] std::int64_t judged() const;
};

// No parameter is fitted: every choice of a scenario follows from the row (calibrate/README.md).
// How many requests decode at a time depends on the step: it is solved for with the predicted one.
// Throws ConfigError for a table that is none or a damaged profile, std::system_error when the
// points cannot be written.
ValidateStepsResult validate_steps(const ValidateStepsOptions& options);

// The scenario of a row, as `simulate` takes it. `cluster`: a catalogued cluster of its device;
// `model`: the catalog's name; `experts`: of one of its layers; `has_profile`: routing statistics
// of this model are in the catalog.
struct StepScenario {
  std::string cluster;
  std::string model;
  std::int64_t experts = 0;
  int node_devices = 0;
  bool has_profile = false;
};
nlohmann::json step_scenario(const MeasuredStep& step, const StepScenario& found,
                             std::int64_t requests_per_rank);

// {"groups": [...], "pooled": [...], "skipped": [...], "rows_read"}.
nlohmann::json to_json(const ValidateStepsResult& result);

}  // namespace moesim
