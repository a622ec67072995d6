// What runs a task graph. All backends give the same times (up to rounding) where their sharing
// models agree: `fast` and `simgrid` share fairly by bottleneck (SimGrid's ptask_L07).
#pragma once

#include <memory>
#include <vector>

#include "sim/engine/task_graph.h"

namespace moesim {

struct TaskTimes {
  double start_s = 0.0;  // all predecessors have ended
  double end_s = 0.0;
};

struct RunResult {
  std::vector<TaskTimes> tasks;        // by TaskId
  // End of every segment of every task, tasks in order, segments in order; empty unless asked for.
  std::vector<double> segment_ends_s;
  double makespan_s = 0.0;
  std::uint64_t events = 0;  // changes of some task's state that the backend handled
};

// Sharing law ("fair bottleneck", SimGrid 3.32): among the segments that are past their latency,
// repeat { share of a resource = remaining rate / number of live users; a segment's increment =
// min over its needs of share / amount; raise its pace by it, take increment * amount from the
// resources; segments on an exhausted resource are done } until all are done.
class Backend {
 public:
  virtual ~Backend() = default;

  // Deterministic. Throws InvariantError for a malformed graph.
  [[nodiscard]] virtual RunResult run(const TaskGraph& graph, bool record_segments) const = 0;
};

std::unique_ptr<Backend> make_fast_backend();

}  // namespace moesim
