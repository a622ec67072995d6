// The chain of tasks that determined the step's end.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sim/engine/lowered_step.h"
#include "sim/flow/backend.h"

namespace moesim {

// What a task waited for longest: nothing, a predecessor, its executor, or its date.
enum class WaitedFor : std::uint8_t { nothing, predecessor, executor, date };

struct PathTask {
  TaskId id = 0;
  WaitedFor waited_for = WaitedFor::nothing;

  friend bool operator==(const PathTask&, const PathTask&) = default;
};

// First to last: from the last task to end, back over what each waited for longest: the predecessor
// that ended last, or the task that its executor ran before it (ties: a predecessor, the lowest
// id). A date that was waited for begins the path. Durations add up to the makespan, less that
// date.
std::vector<PathTask> critical_path(const TaskGraph& graph, const RunResult& result);

// Calls visit(kernel, seconds) for the task's kernels: `took_s` is split over them in proportion to
// their times alone.
template <class Visit>
void split_over_kernels(const LoweredStep& step, TaskId id, double took_s, Visit visit) {
  const Task& task = step.graph.tasks()[static_cast<std::size_t>(id)];
  const std::size_t first = step.first_kernel[static_cast<std::size_t>(task.program)];
  const std::size_t count = step.graph.segments(task.program).size();
  double alone = 0.0;
  for (std::size_t k = first; k < first + count; ++k) {
    alone += step.kernels[k].alone_s;
  }
  for (std::size_t k = first; k < first + count; ++k) {
    const Kernel& kernel = step.kernels[k];
    visit(kernel, took_s * (alone > 0 ? kernel.alone_s / alone : 1.0 / static_cast<double>(count)));
  }
}

// The same for all of the task's time.
template <class Visit>
void split_over_kernels(const LoweredStep& step, const RunResult& result, TaskId id, Visit visit) {
  const TaskTimes& times = result.tasks[static_cast<std::size_t>(id)];
  split_over_kernels(step, id, times.end_s - times.start_s, visit);
}

// Seconds per category on the critical path.
std::array<double, k_categories> breakdown(const LoweredStep& step, const RunResult& result);

}  // namespace moesim
