#include "sim/app/training_fit.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace moesim {
namespace {

struct Place {
  std::size_t below = 0;
  double share = 0;  // of the neighbour above
};

template <std::size_t N>
Place place_of(const std::array<double, N>& grid, double value) {
  std::size_t below = 0;
  while (below + 2 < N && value > grid[below + 1]) {
    ++below;
  }
  const double width = grid[below + 1] - grid[below];
  return {below, std::clamp((value - grid[below]) / width, 0.0, 1.0)};
}

double loss(std::span<const FitRow> rows, const FrameworkCoefficients& at) {
  double sum = 0;
  for (const FitRow& row : rows) {
    sum += std::abs(std::log(interpolated_seconds(row, at) / row.measured_s));
  }
  return sum;
}

}  // namespace

double interpolated_seconds(const FitRow& row, const FrameworkCoefficients& at) {
  const Place host = place_of(k_fit_hosts, at.host_us);
  const Place slow = place_of(k_fit_slowdowns, at.slowdown);
  const auto with_host = [&](std::size_t h) {
    const std::size_t first = h * k_fit_slowdowns.size() + slow.below;
    return std::lerp(row.simulated_s.at(first), row.simulated_s.at(first + 1), slow.share);
  };
  return std::lerp(with_host(host.below), with_host(host.below + 1), host.share);
}

FrameworkCoefficients fit_framework(std::span<const FitRow> rows) {
  constexpr double host_step = 5.0;
  constexpr double slowdown_step = 0.01;
  FrameworkCoefficients best;
  double least = std::numeric_limits<double>::infinity();
  const auto hosts = static_cast<int>(std::lround(k_fit_hosts.back() / host_step));
  const auto slowdowns =
      static_cast<int>(std::lround((k_fit_slowdowns.back() - 1.0) / slowdown_step));
  for (int h = 0; h <= hosts; ++h) {
    for (int s = 0; s <= slowdowns; ++s) {
      const FrameworkCoefficients at{.host_us = host_step * h, .slowdown = 1.0 + slowdown_step * s};
      if (const double found = loss(rows, at); found < least) {
        least = found;
        best = at;
      }
    }
  }
  return best;
}

}  // namespace moesim
