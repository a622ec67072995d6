// What the undisturbed windows of a case say about its time, and how surely.
//
// Whatever disturbs a window makes it longer, so a round's least window is its best. Between rounds
// the machine itself changes (clocks, neighbours on the same memory), and nobody can tell which
// round was the true machine: the time is the lower quartile of the rounds' least windows, and the
// interval is where that quartile lies with 90 % probability whatever the distribution is
// (binomial), if rounds are independent.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "calibrate/cpu/thread_team.h"

namespace moesim {

struct MeasuredTime {
  double seconds = 0.0;
  double low_s = 0.0;
  double high_s = 0.0;
  std::int64_t rounds = 0;       // with an undisturbed window
  std::int64_t undisturbed = 0;  // windows that were counted
  std::int64_t windows = 0;      // all

  [[nodiscard]] double half_width() const { return (high_s - low_s) / 2.0 / seconds; }  // relative
};

// Fewer say nothing about the next one.
inline constexpr std::int64_t k_least_rounds = 3;

// Of one list of windows per round. Without an undisturbed window: no rounds, and no time.
MeasuredTime measured_time(std::span<const std::vector<TimedSample>> rounds);

// The same for any quantity of undisturbed windows; the lists may be empty.
MeasuredTime measured_time(std::span<const std::vector<double>> undisturbed_by_round);

// Ranks (from 0) in n sorted values between which their lower quartile lies with the probability
// above; first = -1: even the least value may lie above it.
struct QuartileRanks {
  std::int64_t first = 0;
  std::int64_t last = 0;
};
QuartileRanks quartile_ranks(std::int64_t n);

// Stop rule: every time but a tenth has an interval of at most that relative half width.
bool are_narrow(std::span<const MeasuredTime> times, double half_width);

}  // namespace moesim
