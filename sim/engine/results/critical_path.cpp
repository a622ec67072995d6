#include "sim/engine/results/critical_path.h"

#include <algorithm>

namespace moesim {
namespace {

std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

// Tasks by what runs them one at a time, in the order of their ends.
class ExecutorQueues {
 public:
  ExecutorQueues(const TaskGraph& graph, const RunResult& result)
      : result_(result), queues_(at(graph.executor_count())) {
    if (queues_.empty()) {
      return;
    }
    const auto tasks = graph.tasks();
    for (std::size_t id = 0; id < tasks.size(); ++id) {
      const ExecutorId executor = graph.rules(tasks[id]).executor;
      // What was cancelled while it waited took no time of its executor.
      if (executor >= 0 && result.tasks[id].end_s > result.tasks[id].start_s) {
        queues_[at(executor)].push_back(static_cast<TaskId>(id));
      }
    }
    for (auto& queue : queues_) {
      std::ranges::stable_sort(queue, {}, [this](TaskId id) { return end_of(id); });
    }
  }

  // What the executor ran before the task; -1: nothing.
  [[nodiscard]] TaskId before(ExecutorId executor, TaskId id) const {
    const auto& queue = queues_[at(executor)];
    const auto self = std::ranges::find(queue, id);
    return self == queue.begin() || self == queue.end() ? -1 : *(self - 1);
  }

 private:
  [[nodiscard]] double end_of(TaskId id) const { return result_.tasks[at(id)].end_s; }

  const RunResult& result_;
  std::vector<std::vector<TaskId>> queues_;  // by executor
};

TaskId latest_predecessor(const TaskGraph& graph, const RunResult& result, const Task& task) {
  TaskId latest = -1;
  for (const TaskId candidate : graph.predecessors(task)) {
    const double end = result.tasks[at(candidate)].end_s;
    const double best = latest < 0 ? -1.0 : result.tasks[at(latest)].end_s;
    if (end > best || (end == best && candidate < latest)) {
      latest = candidate;
    }
  }
  return latest;
}

}  // namespace

std::vector<PathTask> critical_path(const TaskGraph& graph, const RunResult& result) {
  std::vector<PathTask> path;
  if (result.tasks.empty()) {
    return path;
  }
  const ExecutorQueues queues(graph, result);
  const auto last = std::ranges::max_element(result.tasks, {}, &TaskTimes::end_s);
  for (auto id = static_cast<TaskId>(last - result.tasks.begin()); id >= 0;) {
    const Task& task = graph.tasks()[at(id)];
    const Rules rules = graph.rules(task);
    TaskId before = latest_predecessor(graph, result, task);
    WaitedFor waited_for = before < 0 ? WaitedFor::nothing : WaitedFor::predecessor;
    double until = before < 0 ? 0.0 : result.tasks[at(before)].end_s;
    if (rules.executor >= 0) {
      const TaskId other = queues.before(rules.executor, id);
      if (other >= 0 && result.tasks[at(other)].end_s > until) {
        before = other;
        waited_for = WaitedFor::executor;
        until = result.tasks[at(other)].end_s;
      }
    }
    if (rules.not_before_s > until) {
      before = -1;
      waited_for = WaitedFor::date;
    }
    path.push_back({id, waited_for});
    id = before;
  }
  std::ranges::reverse(path);
  return path;
}

std::array<double, k_categories> breakdown(const LoweredStep& step, const RunResult& result) {
  std::array<double, k_categories> seconds{};
  for (const PathTask& task : critical_path(step.graph, result)) {
    split_over_kernels(step, result, task.id, [&seconds](const Kernel& kernel, double took) {
      seconds[static_cast<std::size_t>(kernel.category)] += took;
    });
  }
  return seconds;
}

}  // namespace moesim
