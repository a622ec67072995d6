// The two coefficients of a training framework, fitted to step times of published runs.
#pragma once

#include <array>
#include <span>
#include <vector>

namespace moesim {

// sim/training/frameworks.h
struct FrameworkCoefficients {
  double host_us = 0;  // per kernel
  double slowdown = 1;
};

inline constexpr std::array k_fit_hosts{0.0, 200.0, 600.0};
inline constexpr std::array k_fit_slowdowns{1.0, 1.8};
inline constexpr std::size_t k_fit_grid = k_fit_hosts.size() * k_fit_slowdowns.size();

struct FitRow {
  double measured_s = 0;
  std::array<double, k_fit_grid> simulated_s{};  // hosts in order, for each all slowdowns
};

// Times between the simulated ones are linear in both coefficients: a step is sums and maxima of
// terms that are.
double interpolated_seconds(const FitRow& row, const FrameworkCoefficients& at);

// Minimises the sum of |ln(predicted/measured)| over a lattice of 5 us and 0.01 within what was
// simulated; the first of equals. No rows: no host time and no slowdown.
FrameworkCoefficients fit_framework(std::span<const FitRow> rows);

}  // namespace moesim
