// How far two runs of the same graph are apart.
#pragma once

#include "sim/flow/backend.h"

namespace moesim {

struct CrosscheckResult {
  double largest_absolute_s = 0.0;
  TaskId absolute_task = -1;  // whose end differs by that much; -1 if no end differs
  double largest_relative = 0.0;
  TaskId relative_task = -1;
  // Every end agrees within 1e-9 of its time or within 2 ps.
  bool agrees = true;
};

// Compares the tasks' ends; the difference is relative to the later one. Throws InvariantError if
// the runs do not have the same number of tasks.
CrosscheckResult compare_runs(const RunResult& a, const RunResult& b);

}  // namespace moesim
