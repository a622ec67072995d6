// The chain of tasks that determined the step's end.
#pragma once

#include <array>
#include <vector>

#include "sim/engine/lowered_step.h"
#include "sim/flow/backend.h"

namespace moesim {

// Task ids, first to last: from the last task to end, back over the predecessor that ended last
// (ties: lowest id). Their durations add up to the makespan.
std::vector<TaskId> critical_path(const TaskGraph& graph, const RunResult& result);

// Calls visit(kernel, seconds) for the task's kernels: its time is split over them in proportion to
// their times alone.
template <class Visit>
void split_over_kernels(const LoweredStep& step, const RunResult& result, TaskId id, Visit visit) {
  const Task& task = step.graph.tasks()[static_cast<std::size_t>(id)];
  const std::size_t first = step.first_kernel[static_cast<std::size_t>(task.program)];
  const std::size_t count = step.graph.segments(task.program).size();
  double alone = 0.0;
  for (std::size_t k = first; k < first + count; ++k) {
    alone += step.kernels[k].alone_s;
  }
  const TaskTimes& times = result.tasks[static_cast<std::size_t>(id)];
  const double took = times.end_s - times.start_s;
  for (std::size_t k = first; k < first + count; ++k) {
    const Kernel& kernel = step.kernels[k];
    visit(kernel, took * (alone > 0 ? kernel.alone_s / alone : 1.0 / static_cast<double>(count)));
  }
}

// Seconds per category on the critical path.
std::array<double, k_categories> breakdown(const LoweredStep& step, const RunResult& result);

// Same split over all tasks of all devices, divided by the number of devices; the remainder to the
// makespan is `waiting`.
struct MeanDevice {
  std::array<double, k_categories> busy_s{};
  double waiting_s = 0.0;
};
MeanDevice mean_device(const LoweredStep& step, const RunResult& result);

}  // namespace moesim
