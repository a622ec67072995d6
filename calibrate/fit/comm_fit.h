// Fits the communication laws of models/comm/comm_profile.h to measured tables, and judges profiles
// on such tables.
#pragma once

#include <string>
#include <vector>

#include "calibrate/tables/comm_rows.h"
#include "calibrate/validate/judged_point.h"

namespace moesim {

// Seconds of one row under a law, alone on the machine.
double predicted_seconds(const AllToAllLaw& law, const AllToAllRow& row, const CommProfile& system);
double predicted_seconds(const CollectiveLaw& law, const CollectiveRow& row,
                         const CommProfile& system);

// Fits every family that the directory's tables cover. `systems` gives names and nominal rates; the
// result holds those that have a row, with the fitted families alone. `date`: of the fit,
// "2026-11-22". Deterministic.
std::vector<CommProfile> fit_comm(const std::string& directory,
                                  const std::vector<CommProfile>& systems, const std::string& date);

struct CommGroup {
  std::string name;
  std::int64_t n = 0;
  double median_ape = 0.0;
  double p90_ape = 0.0;
  double mean_signed_error = 0.0;  // mean of predicted/measured - 1
  double naive_median_ape = 0.0;   // bytes / nominal rate of the busiest link, no latency
  // Log-log interpolation, at equal bytes, between the nearest smaller and larger number of ranks
  // that were measured; of the rows that have both.
  std::int64_t interpolated = 0;
  double interpolation_median_ape = 0.0;
  double interpolation_p90_ape = 0.0;
  std::int64_t erratic = 0;         // as the fit finds them, among the directory's rows
  double regular_median_ape = 0.0;  // without these
  double regular_p90_ape = 0.0;
  double inside_p10_p90 = 0.0;  // share of rows inside the predicted range; 0.8 is right
};

struct CommValidation {
  std::vector<CommGroup> groups;  // by name
  std::int64_t rows_read = 0;     // = sum of n + sum of skipped
  std::vector<std::pair<std::string, std::int64_t>> skipped;
};

// Predicts every row of the directory's tables with the profiles as they are; `visit` sees each.
// `leave_device_out`: as if nobody had measured the row's device.
CommValidation validate_collectives(const std::string& directory,
                                    const std::vector<CommProfile>& profiles,
                                    const PointVisitor& visit = {}, bool leave_device_out = false);

}  // namespace moesim
