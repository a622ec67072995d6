#include "sim/core/quantile.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"

namespace moesim {

double quantile(std::vector<double> values, double share) {
  ensure(!values.empty(), "a quantile is of something");
  std::ranges::sort(values);
  const double place = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - std::floor(place)) * (values[above] - values[below]);
}

double median(std::vector<double> values) {
  ensure(!values.empty(), "a median is of something");
  std::ranges::sort(values);
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

double upper_median(std::span<double> values) {
  ensure(!values.empty(), "a median is of something");
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

}  // namespace moesim
