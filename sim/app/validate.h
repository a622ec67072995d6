// What `moesim validate kernels` and `moesim validate collectives` do: fitted profiles against
// measurements.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "calibrate/fit/comm_fit.h"
#include "calibrate/validate/model_errors.h"
#include "calibrate/validate/regimes.h"
#include "calibrate/validate/validate_kernels.h"
#include "sim/core/progress.h"
#include "sim/engine/catalog_folders.h"

namespace moesim {

struct ValidateOptions {
  std::string directory = {};  // of measured CSV files, searched downwards
  CatalogFolders catalogs = {};
  std::string points = {};        // CSV file to write, one line per judged row; empty: none
  bool regimes = false;           // also where each group is worst
  bool leave_device_out = false;  // every device as if nobody had measured it
  Progress progress = {};         // of kernels
};

struct ValidateKernelsResult {
  ValidationReport report;
  std::map<std::string, Regime> worst_regimes;  // by group; of large groups, if asked for
  std::vector<ModelErrors> models;              // of the catalog
};
struct ValidateCollectivesResult {
  CommValidation report;
  std::map<std::string, Regime> worst_regimes;
};

// Both throw ConfigError for damaged files or profiles and folders without a table,
// std::system_error when the points cannot be written.
ValidateKernelsResult validate_kernels(const ValidateOptions& options);
ValidateCollectivesResult validate_collectives(const ValidateOptions& options);

// {"groups": [...], "skipped": [...]}; of kernels also "models".
nlohmann::json to_json(const ValidateKernelsResult& result);
nlohmann::json to_json(const ValidateCollectivesResult& result);

}  // namespace moesim
