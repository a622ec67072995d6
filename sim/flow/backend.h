// What runs a task graph. All backends give the same times (up to rounding) where their sharing
// models agree: `fast` and `simgrid` share fairly by bottleneck (SimGrid's ptask_L07).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sim/flow/task_graph.h"

namespace moesim {

struct TaskTimes {
  double start_s = 0.0;  // all predecessors have ended
  double end_s = 0.0;
};

struct RunResult {
  std::vector<TaskTimes> tasks;  // by TaskId
  // End of every segment of every task, tasks in order, segments in order; empty unless asked for.
  std::vector<double> segment_ends_s;
  double makespan_s = 0.0;
  // Changes of some task's state that the backend handled: starts, ends of latencies, ends of
  // segments. Segments that `fast` skips over, because nobody else uses their resources, are not
  // counted.
  std::uint64_t events = 0;
};

// Sharing law ("fair bottleneck", SimGrid 3.32): among the segments that are past their latency,
// repeat { share of a resource = remaining rate / number of live users; a live segment's increment
// = min over its needs of share / amount; raise its pace by it; take increment * amount from the
// resources, also for segments that are done, with their last increment; live segments on an
// exhausted resource are done } until all are done. BACKENDS.md discusses it.
class Backend {
 public:
  virtual ~Backend() = default;

  // Deterministic. Throws InvariantError for a malformed graph.
  [[nodiscard]] virtual RunResult run(const TaskGraph& graph, bool record_segments) const = 0;
};

// A resource counts as exhausted when less than this fraction of its rate is left. Larger than
// what a sum over some thousand users loses by rounding, since a resource that is exhausted in
// exact arithmetic must count as exhausted.
inline constexpr double sharing_precision = 1e-12;

// Off: what a task does while it is alone is an event per latency and service, not one event. Times
// are the same to the bit, only slower; tests see to that.
enum class Merging : bool { off, on };
std::unique_ptr<Backend> make_fast_backend(Merging merging = Merging::on);

}  // namespace moesim
