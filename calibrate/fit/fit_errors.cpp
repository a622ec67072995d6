#include "calibrate/fit/fit_errors.h"

#include <algorithm>

#include "sim/core/quantile.h"

namespace moesim {

ErrorSummary summarise(std::vector<double> errors) {
  if (errors.empty()) {
    return {};
  }
  std::ranges::sort(errors);
  const double p90 = errors[std::min(errors.size() - 1, errors.size() * 9 / 10)];
  return {rounded(median(std::move(errors))), rounded(p90)};
}

std::vector<ErrorBand> error_bands(std::vector<Spread> rows) {
  constexpr std::size_t least_rows = 60;
  constexpr std::size_t most_bands = 8;
  constexpr double least_sigma = 0.005;  // repeats of one measurement differ by as much
  if (rows.empty()) {
    return {};
  }
  std::ranges::sort(rows, {}, &Spread::seconds);
  const std::size_t bands = std::clamp<std::size_t>(rows.size() / least_rows, 1, most_bands);
  std::vector<ErrorBand> result;
  for (std::size_t b = 0; b < bands; ++b) {
    const std::size_t begin = rows.size() * b / bands;
    const std::size_t end = rows.size() * (b + 1) / bands;
    std::vector<double> absolute;
    for (std::size_t i = begin; i < end; ++i) {
      absolute.push_back(rows[i].absolute);
    }
    std::ranges::sort(absolute);
    const double width = absolute[std::min(absolute.size() - 1, absolute.size() * 8 / 10)];
    result.push_back(
        {rounded(rows[end - 1].seconds), rounded(std::max(width / k_p90_of_normal, least_sigma))});
  }
  return result;
}

}  // namespace moesim
