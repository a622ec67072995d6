// Robust least squares of positive coefficients on logarithms of times.
#pragma once

#include <functional>
#include <span>
#include <vector>

namespace moesim {

struct FitParameter {
  double start;
  double min;
  double max;
  bool fixed = false;
};

struct LeastSquares {
  std::vector<double> coefficients;
  double loss = 0;  // mean soft-L1 loss, prior left out
  int iterations = 0;
};

// Minimises sum_i w rho((log(predict_i(c)) - log(measured_i))/0.1) + prior, rho(z) = 2(sqrt(1+z^2)
// - 1), by Levenberg-Marquardt over log(c) with finite differences. The prior pulls a coefficient
// that the rows do not determine to its start. Deterministic: same input, same bits.
// predict(c, out) writes one prediction (s) per measured value.
LeastSquares fit_coefficients(
    std::span<const FitParameter> parameters, std::span<const double> measured,
    const std::function<void(std::span<const double>, std::span<double>)>& predict,
    int max_iterations);

}  // namespace moesim
