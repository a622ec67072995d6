// Predictions of the shipped kernel profiles against a folder of measurements.
#pragma once

#include <string>
#include <vector>

#include "calibrate/fit/fit_profiles.h"
#include "calibrate/validate/judged_point.h"

namespace moesim {

struct ValidationGroup {
  std::string name;  // "moe/trtllm/h100_sxm/fp8_block"
  std::int64_t n = 0;
  double median_ape = 0;
  double p90_ape = 0;
  double mean_signed_error = 0;  // of predicted/measured - 1
  double naive_median_ape = 0;
  double naive_p90_ape = 0;
  std::int64_t erratic = 0;       // rows that no shape predicts (erratic.h), judged all the same
  double regular_median_ape = 0;  // without them
  double regular_p90_ape = 0;
  double inside_p10_p90 = 0;          // share of rows inside the predicted range; 0.8 is right
  std::int64_t extrapolated = 0;      // rows outside the range that the family was fitted on
  std::vector<std::string> profiles;  // that answered, with their basis
};

struct ValidationReport {
  std::vector<ValidationGroup> groups;                        // by name
  std::vector<std::pair<std::string, std::int64_t>> skipped;  // reason, rows
  std::int64_t rows_read = 0;                                 // = sum of n + sum of skipped
};

struct ValidationOptions {
  Progress progress;
  PointVisitor visit;             // sees every judged row, file by file
  bool leave_device_out = false;  // predict every device as if nobody had measured it
};

// Throws ConfigError for damaged files or profiles.
ValidationReport validate_kernels(const std::string& dir,
                                  const std::vector<std::string>& profile_dirs,
                                  const DeviceLookup& devices,
                                  const ValidationOptions& options = {});

// {"groups": [...], "skipped": [...]} as DESIGN.md fixes it.
std::string validation_json(const ValidationReport& report);

}  // namespace moesim
