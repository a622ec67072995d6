// Robust least squares in log space: positive parameters, relative errors.
#pragma once

#include <functional>
#include <span>
#include <vector>

namespace moesim {

// Minimises sum of rho(log(predict(p)) - log(measured)) with rho pseudo-Huber at 0.1 (beyond 10 %
// an outlier pulls linearly), plus 1e-3 per parameter times the squared log-distance from `guess`,
// which decides where the data do not. Levenberg-Marquardt over log p; deterministic.
// predict(p, out) fills one prediction per measurement. Everything must be positive.
using Predictor = std::function<void(std::span<const double> parameters, std::span<double> out)>;
std::vector<double> fit_log(const Predictor& predict, std::span<const double> measured,
                            std::span<const double> guess);

}  // namespace moesim
