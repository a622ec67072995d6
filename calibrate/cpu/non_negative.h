// Least squares with non-negative coefficients.
#pragma once

#include <vector>

namespace moesim {

// argmin over x >= 0 of sum_i (1 - sum_j features[i][j] x_j / values[i])^2: relative errors, exact
// to rounding (Lawson and Hanson 1974, algorithm NNLS). values > 0; at least one row.
std::vector<double> fit_non_negative(const std::vector<std::vector<double>>& features,
                                     const std::vector<double>& values);

}  // namespace moesim
