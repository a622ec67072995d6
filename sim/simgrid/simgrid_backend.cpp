#include "sim/simgrid/simgrid_backend.h"

#include "sim/flow/record.h"
#include "sim/simgrid/child_process.h"
#include "sim/simgrid/ptask_run.h"

namespace moesim {
namespace {

struct Summary {
  double makespan_s = 0.0;
  std::uint64_t events = 0;
};

class SimgridBackend final : public Backend {
 public:
  [[nodiscard]] RunResult run(const TaskGraph& graph, bool record_segments) const override {
    if (graph.executor_count() == 0 && graph.actions().empty()) {
      return replay(graph, record_segments);
    }
    // Who is first where two are equally early is a matter of rounding: choices are replayed.
    const Record record = record_of(graph);
    return in_original_ids(record, graph, replay(record.graph, record_segments));
  }

 private:
  [[nodiscard]] static RunResult replay(const TaskGraph& graph, bool record_segments) {
    const detail::PtaskOutputSizes sizes = detail::output_sizes(graph, record_segments);
    const detail::SharedMemory memory(sizeof(Summary) + sizes.tasks * sizeof(TaskTimes) +
                                      sizes.segment_ends * sizeof(double));
    auto* const summary = new (memory.at(0)) Summary;
    auto* const tasks = new (memory.at(sizeof(Summary))) TaskTimes[sizes.tasks];
    auto* const ends = new (
        memory.at(sizeof(Summary) + sizes.tasks * sizeof(TaskTimes))) double[sizes.segment_ends];
    detail::run_in_child([&] {
      const detail::PtaskOutput output{{tasks, sizes.tasks}, {ends, sizes.segment_ends}};
      summary->events = detail::run_ptasks(graph, output);
    });
    RunResult result;
    result.tasks.assign(tasks, tasks + sizes.tasks);
    result.segment_ends_s.assign(ends, ends + sizes.segment_ends);
    result.events = summary->events;
    for (const TaskTimes& times : result.tasks) {
      result.makespan_s = std::max(result.makespan_s, times.end_s);
    }
    return result;
  }
};

}  // namespace

std::unique_ptr<Backend> make_simgrid_backend() { return std::make_unique<SimgridBackend>(); }

}  // namespace moesim
