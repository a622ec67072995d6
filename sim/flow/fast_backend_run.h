// One run of the fast backend; BACKENDS.md explains the algorithm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/flow/backend.h"
#include "sim/flow/fast_backend_agenda.h"
#include "sim/flow/fast_backend_sharing.h"

namespace moesim::detail {

// Ids are signed, so that "none" and offsets can be said; vectors are indexed unsigned.
constexpr std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

enum class Mode : std::uint8_t {
  alone,    // nobody else touches its resources: the one event is the task's end
  latency,  // the event is the end of the current segment's latency
  serving,  // the event is the end of the current segment at the current pace
};

// A task between start and end.
struct Running {
  TaskId task = 0;
  Mode mode = Mode::alone;
  std::uint32_t segment = 0;  // within the program; alone: the one that begins at since_s
  std::uint32_t visit = 0;
  double since_s = 0.0;  // serving: when `left` was true
  double left = 0.0;     // serving: fraction of the segment
  double pace = 0.0;     // serving: segments per second, 0 until shared out
};

// How many running tasks have the resource in their program. The owner is the last to arrive.
struct Tenancy {
  double rate = 1.0;
  std::int32_t count = 0;
  std::int32_t owner_slot = 0;
  TaskId owner_task = 0;
};

// Live segments on the resource, and its place in the component that is being gathered.
struct Queue {
  std::vector<std::int32_t> slots;
  std::uint32_t visit = 0;
  std::uint32_t local = 0;
};

class FastRun {
 public:
  FastRun(const TaskGraph& graph, bool record_segments);
  RunResult run();

 private:
  void index_successors();
  void index_segment_ends();

  void start_ready();
  void start(TaskId id);
  bool occupy(std::int32_t slot);  // true if nobody else is there
  [[nodiscard]] bool is_alone(const Running& running) const;
  void finish(std::int32_t slot);

  void run_alone(std::int32_t slot);
  void leave_alone(std::int32_t slot);
  void record_ends_alone(const Running& running);
  void handle(std::int32_t slot);
  void begin_segment(std::int32_t slot);
  void begin_service(std::int32_t slot, double left, double pace);
  void end_service(std::int32_t slot);

  void share_out();
  void gather(std::int32_t resource);
  void visit_queue(std::int32_t resource);
  void share_component();
  void set_pace(std::int32_t slot, double pace);

  [[nodiscard]] const Task& task_of(const Running& running) const {
    return tasks_[at(running.task)];
  }
  [[nodiscard]] std::span<const Segment> segments_of(const Running& running) const {
    return graph_.segments(task_of(running).program);
  }
  [[nodiscard]] double service_alone_s(const Segment& segment, std::int32_t offset) const;
  void record_end(const Running& running, std::uint32_t segment, double end_s) {
    if (!first_end_.empty()) {
      result_.segment_ends_s[first_end_[at(running.task)] + segment] = end_s;
    }
  }

  const TaskGraph& graph_;
  std::span<const Task> tasks_;
  RunResult result_;
  double now_ = 0.0;

  std::vector<std::uint32_t> waiting_for_;  // predecessors that have not ended, by task
  std::vector<std::uint32_t> first_successor_;
  std::vector<TaskId> successors_;
  std::vector<std::size_t> first_end_;  // into segment_ends_s by task; empty if not recorded
  std::vector<TaskId> ready_;

  std::vector<Running> running_;  // by slot
  std::vector<std::int32_t> free_slots_;
  std::vector<Tenancy> tenancies_;  // by resource
  std::vector<Queue> queues_;       // by resource
  Agenda agenda_;

  std::vector<std::int32_t> changed_;  // resources whose live segments changed since share_out()
  std::vector<std::int32_t> component_;
  std::uint32_t component_resources_ = 0;
  std::uint32_t visit_ = 0;
  FairBottleneck sharing_;
};

}  // namespace moesim::detail
