// The chain of tasks that determined the step's end.
#pragma once

#include <array>
#include <vector>

#include "sim/engine/backend.h"
#include "sim/engine/lowered_step.h"

namespace moesim {

// Task ids, first to last: from the last task to end, back over the predecessor that ended last
// (ties: lowest id). Their durations add up to the makespan.
std::vector<TaskId> critical_path(const TaskGraph& graph, const RunResult& result);

// Seconds per category on the critical path. A task's time is split over its kernels in proportion
// to their times alone.
std::array<double, k_categories> breakdown(const LoweredStep& step, const RunResult& result);

// Same split over all tasks of all devices, divided by the number of devices; the remainder to the
// makespan is `waiting`.
struct MeanDevice {
  std::array<double, k_categories> busy_s{};
  double waiting_s = 0.0;
};
MeanDevice mean_device(const LoweredStep& step, const RunResult& result);

}  // namespace moesim
