// Order statistics of lists that must not be empty.
#pragma once

#include <span>
#include <vector>

namespace moesim {

// Linear interpolation between order statistics; share in [0, 1].
double quantile(std::vector<double> values, double share);
double median(std::vector<double> values);
// One of the values, never a mean of two. Reorders them.
double upper_median(std::span<double> values);

}  // namespace moesim
