// The whole loop on one machine: microbenchmarks -> profile -> simulated layers, beside the same
// layers really run.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "calibrate/cpu/host_comparison.h"
#include "calibrate/cpu/host_tables.h"
#include "sim/core/progress.h"

namespace moesim {

struct HostValidationOptions {
  bool quick = false;
  int configurations = 0;              // 0: 72, or 24 when quick
  std::optional<HostProfile> profile;  // else the microbenchmarks run first, and in between
  std::string scratch_folder;          // on the disk from which experts are read
  std::string trace;                   // further configurations replay this .moetrace
  std::uint64_t seed = 1;
  double budget_s = 0.0;                      // until measuring ends; 0: 150, or 24 when quick
  double bar = 0.15;                          // of the median error, for the verdict
  const std::atomic<bool>* cancel = nullptr;  // once true, validate_host throws Interrupted
};

// How disturbed the machine was.
struct HostNoise {
  int rounds = 0;                      // in which every case was visited
  bool narrow = false;                 // ended by its intervals, not by the budget
  double undisturbed_share = 0.0;      // of all windows
  double stolen_visit_share = 0.0;     // of all visits: the hypervisor took time
  double layer_half_width = 0.0;       // median, relative
  double micro_half_width = 0.0;       // the same; 0 where a profile was given
  std::vector<std::string> disturbed;  // kernels that no profile could be fitted to
};

struct HostValidation {
  std::string source;                  // of the profile: processor, libraries, date
  std::optional<HostProfile> profile;  // none: too few microbenchmarks were undisturbed
  std::vector<HostTable> micro;        // what the profile was fitted to, if it was
  std::vector<HostComparison> rows;
  std::vector<HostGroup> groups;
  HostNoise noise;
  HostVerdict verdict;
  std::vector<std::pair<std::string, std::int64_t>> skipped;
};

// Drawn with a fixed seed: shapes (one of them in no microbenchmark), experts, top-k, tokens, skew,
// ranks, placement, overlap, caches.
std::vector<MoeConfig> host_configurations(const HostValidationOptions& options);

// Throws ConfigError, std::system_error and Interrupted.
HostValidation validate_host(const HostValidationOptions& options, const Progress& progress = {});

}  // namespace moesim
