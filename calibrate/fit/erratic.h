// Measurements that no shape predicts: an autotuner that chose a bad tactic for one load of a case
// while its neighbours run normally.
#pragma once

#include <span>
#include <vector>

#include "calibrate/tables/kernel_rows.h"

namespace moesim {

// A row is erratic when it is this much slower, against its prediction, than its neighbourhood.
inline constexpr double k_erratic_factor = 1.35;

// Expert rows only: the neighbourhood of a row are the rows of the same kernel and expert shape
// (any load, any number of expert ranks) with the same or the next smaller or larger token count;
// it is judged by the median of measured/predicted. Other rows are never erratic. One flag per row.
std::vector<bool> erratic_rows(std::span<const KernelRow* const> rows,
                               std::span<const double> predicted_s);

}  // namespace moesim
