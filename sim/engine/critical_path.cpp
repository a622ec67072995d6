#include "sim/engine/critical_path.h"

#include <algorithm>

#include "sim/core/error.h"

namespace moesim {
namespace {

std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

void add_task(const LoweredStep& step, const RunResult& result, TaskId id,
              std::array<double, k_categories>& seconds) {
  split_over_kernels(step, result, id, [&seconds](const Kernel& kernel, double took) {
    seconds[static_cast<std::size_t>(kernel.category)] += took;
  });
}

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
    add_task(step, result, id, seconds);
  }
  return seconds;
}

MeanDevice mean_device(const LoweredStep& step, const RunResult& result) {
  MeanDevice mean;
  const auto tasks = step.graph.tasks();
  double accounted = 0.0;
  for (std::size_t id = 0; id < tasks.size(); ++id) {
    std::array<double, k_categories> seconds{};
    add_task(step, result, static_cast<TaskId>(id), seconds);
    // A collective occupies all its participants; a chain one device.
    const auto participants = static_cast<double>(step.participants[id]);
    for (std::size_t c = 0; c < k_categories; ++c) {
      mean.busy_s[c] += seconds[c] * participants / step.devices;
      accounted += seconds[c] * participants / step.devices;
    }
  }
  mean.waiting_s = std::max(0.0, result.makespan_s - accounted);
  return mean;
}

}  // namespace moesim
