// Summaries of errors: quantiles, and bands of equal confidence.
#pragma once

#include <vector>

#include "models/kernels/kernel_profile.h"

namespace moesim {

ErrorSummary summarise(std::vector<double> errors);

// 90 % of a standard normal variable lie below.
inline constexpr double k_p90_of_normal = 1.2816;

struct Spread {
  double seconds = 0;   // predicted
  double absolute = 0;  // |ln(measured/predicted)|
};
// Up to 8 bands of equally many rows by predicted time. sigma is such that 80 % of a band's rows
// lie within +-k_p90_of_normal sigma, whatever their law.
std::vector<ErrorBand> error_bands(std::vector<Spread> rows);

}  // namespace moesim
