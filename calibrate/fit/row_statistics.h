// What the rows of one family say without any law: their ranges, their grid, and whether they time
// the device at all.
#pragma once

#include <span>
#include <vector>

#include "calibrate/tables/kernel_rows.h"
#include "models/kernels/kernel_profile.h"

namespace moesim {

using RowList = std::span<const KernelRow* const>;

// Of the first dimensions of dim_names(kind). At least one row.
std::vector<FitRange> ranges_of(RowList rows);

// FittedFamily::grid: of decoding attention, where the rows have few enough batches for a list.
std::vector<double> grid_of(RowList rows);

// An eager benchmark launches its kernels one by one, and where that takes longer than they run,
// every size takes the same time; a captured graph's does not. Seconds of that floor: at least half
// of the rows, over two decades of work, lie within 1.3 times the first percentile, which is 20 us
// or more (a captured launch takes a few) and 8 times their roofline. 0 where the rows show no such
// floor.
double host_floor(RowList rows);

}  // namespace moesim
