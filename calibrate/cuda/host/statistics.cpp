#include "calibrate/cuda/host/statistics.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"

namespace moesim::bench {
namespace {

double quantile_of_sorted(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

Statistics summarise(std::vector<double> samples_ms) {
  ensure(!samples_ms.empty(), "a measurement has samples");
  ensure(std::ranges::all_of(samples_ms, [](double t) { return std::isfinite(t) && t > 0; }),
         "measured times are positive");
  std::ranges::sort(samples_ms);
  return {quantile_of_sorted(samples_ms, 0.5), quantile_of_sorted(samples_ms, 0.1),
          quantile_of_sorted(samples_ms, 0.9), static_cast<int>(samples_ms.size())};
}

}  // namespace moesim::bench
