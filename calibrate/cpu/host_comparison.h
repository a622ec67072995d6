// Measured and predicted times of this machine, each with an interval, and what may be said of
// their difference.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "calibrate/cpu/host_lowering.h"
#include "calibrate/cpu/measured_time.h"

namespace moesim {

struct HostInterval {
  double low = 0.0;
  double high = 0.0;
};

struct HostComparison {
  MoeConfig config;
  LayerTimes measured;   // by measured_time()
  LayerTimes predicted;  // from the microbenchmarks' times
  MeasuredTime step;     // of measured.step_s
  // From the microbenchmarks' low and high ends; both as `predicted` where a profile was given.
  HostInterval predicted_s;
  double p10_s = 0.0;  // of the undisturbed repeats
  double p90_s = 0.0;
  double naive_s = 0.0;
  double deviation = 0.0;  // of the output from the plain reference
  std::int64_t disk_reads = 0;
  bool extrapolated = false;

  [[nodiscard]] double error() const { return predicted.step_s / measured.step_s - 1.0; }
  // Between the least prediction over the longest time and the opposite.
  [[nodiscard]] HostInterval error_interval() const;
  // Half of the interval: errors that differ by less cannot be told apart.
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
  double worst_beyond_noise = 0.0;  // largest error that is left at the near end of its interval
  // Of the median error of steps, as far as the run itself can know. Both 0 for phases.
  HostInterval interval;
};

// Step and phase errors per regime and over all.
std::vector<HostGroup> group_errors(const std::vector<HostComparison>& rows);

enum class HostAnswer : std::uint8_t { within, beyond, cannot_tell };
std::string_view answer_name(HostAnswer answer);

// Is the median error of all steps at most `bar`? `within` and `beyond` only if the whole interval
// lies on that side and the noise is not itself larger than the bar.
struct HostVerdict {
  HostAnswer answer = HostAnswer::cannot_tell;
  double bar = 0.0;
  double median_ape = 0.0;
  double noise = 0.0;
  HostInterval interval;
  std::int64_t n = 0;
  std::string text;  // one sentence
};
HostVerdict judge(const std::vector<HostGroup>& groups, double bar);

}  // namespace moesim
