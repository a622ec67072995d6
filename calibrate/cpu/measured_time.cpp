#include "calibrate/cpu/measured_time.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/core/quantile.h"

namespace moesim {
namespace {

constexpr double k_quartile = 0.25;
constexpr double k_outside = 0.05;  // on either side
constexpr double k_wide_share = 0.1;

}  // namespace

QuartileRanks quartile_ranks(std::int64_t n) {
  ensure(n > 0, "quartiles are those of some values");
  // Value number i lies above the quartile if at most i of the n lie below it.
  QuartileRanks ranks{-1, n - 1};
  double probability = 1.0;  // of exactly `below` values below the quartile
  for (std::int64_t i = 0; i < n; ++i) {
    probability *= 1.0 - k_quartile;
  }
  double at_most = 0.0;
  for (std::int64_t below = 0; below < n; ++below) {
    at_most += probability;
    if (at_most <= k_outside) {
      ranks.first = below;
    }
    if (1.0 - at_most <= k_outside) {
      ranks.last = below;
      break;
    }
    probability *= static_cast<double>(n - below) / static_cast<double>(below + 1) * k_quartile /
                   (1.0 - k_quartile);
  }
  return ranks;
}

MeasuredTime measured_time(std::span<const std::vector<double>> undisturbed_by_round) {
  MeasuredTime time;
  std::vector<double> least;
  for (const std::vector<double>& round : undisturbed_by_round) {
    time.undisturbed += static_cast<std::int64_t>(round.size());
    if (!round.empty()) {
      least.push_back(*std::ranges::min_element(round));
    }
  }
  time.windows = time.undisturbed;
  time.rounds = static_cast<std::int64_t>(least.size());
  if (least.empty()) {
    return time;
  }
  std::ranges::sort(least);
  time.seconds = quantile(least, k_quartile);
  const QuartileRanks ranks = quartile_ranks(time.rounds);
  time.high_s = least[static_cast<std::size_t>(ranks.last)];
  if (ranks.first >= 0) {
    time.low_s = least[static_cast<std::size_t>(ranks.first)];
  } else {
    // As far below the least as the second lies above it.
    const double second = least[std::min<std::size_t>(1, least.size() - 1)];
    time.low_s = std::max(0.5 * least[0], 2.0 * least[0] - second);
  }
  return time;
}

MeasuredTime measured_time(std::span<const std::vector<TimedSample>> rounds) {
  std::vector<std::vector<double>> undisturbed;
  std::int64_t windows = 0;
  for (const std::vector<TimedSample>& round : rounds) {
    std::vector<double>& values = undisturbed.emplace_back();
    for (const TimedSample& sample : round) {
      ++windows;
      if (sample.undisturbed) {
        values.push_back(sample.seconds);
      }
    }
  }
  MeasuredTime time = measured_time(std::span<const std::vector<double>>(undisturbed));
  time.windows = windows;
  return time;
}

bool are_narrow(std::span<const MeasuredTime> times, double half_width) {
  const auto wide = std::ranges::count_if(times, [&](const MeasuredTime& time) {
    return time.rounds < k_least_rounds || time.half_width() > half_width;
  });
  return static_cast<double>(wide) <= k_wide_share * static_cast<double>(times.size());
}

}  // namespace moesim
