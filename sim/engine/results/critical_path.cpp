#include "sim/engine/results/critical_path.h"

#include <algorithm>

namespace moesim {
namespace {

std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

}  // namespace

std::vector<TaskId> critical_path(const TaskGraph& graph, const RunResult& result) {
  std::vector<TaskId> path;
  if (result.tasks.empty()) {
    return path;
  }
  const auto last = std::ranges::max_element(result.tasks, {}, &TaskTimes::end_s);
  auto id = static_cast<TaskId>(last - result.tasks.begin());
  for (;;) {
    path.push_back(id);
    const auto before = graph.predecessors(graph.tasks()[at(id)]);
    if (before.empty()) {
      break;
    }
    TaskId latest = before[0];
    for (const TaskId candidate : before) {
      const double end = result.tasks[at(candidate)].end_s;
      const double best = result.tasks[at(latest)].end_s;
      if (end > best || (end == best && candidate < latest)) {
        latest = candidate;
      }
    }
    id = latest;
  }
  std::ranges::reverse(path);
  return path;
}

std::array<double, k_categories> breakdown(const LoweredStep& step, const RunResult& result) {
  std::array<double, k_categories> seconds{};
  for (const TaskId id : critical_path(step.graph, result)) {
    split_over_kernels(step, result, id, [&seconds](const Kernel& kernel, double took) {
      seconds[static_cast<std::size_t>(kernel.category)] += took;
    });
  }
  return seconds;
}

}  // namespace moesim
