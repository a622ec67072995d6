// One unknown constant, found such that one figure comes out as published.
#pragma once

#include <functional>

namespace moesim {

struct FitProblem {
  std::function<double(double)> figure;  // of the parameter; continuous, any direction
  double low = 0.0;                      // low < high
  double high = 0.0;
  double target = 0.0;
};

struct ParameterFit {
  double parameter = 0.0;
  double figure = 0.0;
  bool reached = false;  // within 1e-4 of the target (relative, or absolute around 0)
  int evaluations = 0;
};

// False position (Illinois) where the ends lie on different sides of the target, in log(parameter)
// if both are positive; else golden-section search for the nearest figure. Deterministic.
ParameterFit fit_parameter(const FitProblem& problem);

}  // namespace moesim
