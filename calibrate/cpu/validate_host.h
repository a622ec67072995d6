// The whole loop on one machine: microbenchmarks -> profile -> simulated layers, beside the same
// layers really run.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "calibrate/cpu/host_lowering.h"
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
};

struct HostComparison {
  MoeConfig config;
  LayerTimes measured;  // medians of the undisturbed repeats
  LayerTimes predicted;
  double p10_s = 0.0;
  double p90_s = 0.0;
  double first_round_s = 0.0;  // median of the first visit, and of the last one, some minutes later
  double last_round_s = 0.0;
  double naive_s = 0.0;
  double deviation = 0.0;  // of the output from the plain reference
  std::int64_t repeats = 0;
  std::int64_t disk_reads = 0;
  bool extrapolated = false;

  [[nodiscard]] double error() const { return predicted.step_s / measured.step_s - 1.0; }
  // The machine's own: half of p10-p90 and the change between visits, whichever is larger.
  [[nodiscard]] double noise() const;
};

struct HostGroup {
  std::string name;  // "host/one_rank/step", "host/one_rank/experts", ..., "host/all/step"
  std::int64_t n = 0;
  double median_ape = 0.0;
  double p90_ape = 0.0;
  double worst_ape = 0.0;
  double mean_signed_error = 0.0;
  double naive_median_ape = 0.0;  // of steps; 0 for phases
  double median_noise = 0.0;
  double worst_beyond_noise = 0.0;  // largest error less that configuration's noise, >= 0
};

struct HostValidation {
  HostProfile profile;
  std::vector<HostTable> micro;  // what the profile was fitted to, if it was
  std::vector<HostComparison> rows;
  std::vector<HostGroup> groups;
  std::vector<std::pair<std::string, std::int64_t>> skipped;
};

// Drawn with a fixed seed: shapes (one of them in no microbenchmark), experts, top-k, tokens, skew,
// ranks, placement, overlap, caches.
std::vector<MoeConfig> host_configurations(const HostValidationOptions& options);

// `progress(what, share)`. Throws ConfigError and std::system_error.
HostValidation validate_host(const HostValidationOptions& options, const Progress& progress = {});

// MoeStep and phase errors per regime and over all.
std::vector<HostGroup> group_errors(const std::vector<HostComparison>& rows);

}  // namespace moesim
