// Which microbenchmarks were seen undisturbed often enough for a profile, and what is lost with the
// others.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "calibrate/cpu/measured_time.h"
#include "calibrate/cpu/micro_rows.h"

namespace moesim {

struct UsableMicro {
  std::vector<std::size_t> rows;       // indices of the rows that a profile is to be fitted to
  bool any = true;                     // can anything be predicted?
  bool two_threads = true;             // what runs on two?
  bool disk = true;                    // experts on disk?
  std::vector<std::string> disturbed;  // "expert (2 threads)": less than half of its rows is usable
};

// A row is usable if it was undisturbed in k_least_rounds; a kernel, at one number of threads, if
// half of its rows is. `times` belong to `keys`.
UsableMicro usable_micro(std::span<const MicroKey> keys, std::span<const MeasuredTime> times);

}  // namespace moesim
