// A run whose tasks are made while it goes on, by a policy that sees what has ended: caches,
// prefetch queues, batching. A static graph (backend.h) is the same engine with all tasks known.
#pragma once

#include <limits>
#include <memory>
#include <span>

#include "sim/flow/record.h"

namespace moesim {

// Time stands still while the policy decides: what it submits at an instant competes with what was
// waiting then, before anything new starts. Deterministic. All ids are as in TaskGraph.
class LiveRun {
 public:
  // `record`: keep what record() needs. Costs are in README.md.
  enum class Recording : bool { off, on };
  explicit LiveRun(Recording recording = Recording::on, Merging merging = Merging::on);
  ~LiveRun();
  LiveRun(LiveRun&&) noexcept;
  LiveRun& operator=(LiveRun&&) noexcept;

  // What there is, and what tasks do: at any time, but a program is complete before a task that
  // runs it is submitted. Throw InvariantError as in TaskGraph.
  std::int32_t add_resource(const Resource& resource);
  ExecutorId add_executor();
  ProgramId begin_program();
  void add_segment(double latency_s, std::span<const Need> needs);
  void add_hold(Hold hold);

  // Starts when its predecessors have ended, not before its date and not before now.
  TaskId submit(const Task& task, std::span<const TaskId> predecessors = {},
                const Rules& rules = {});
  // The same, also after the task that was last submitted to its stream in this way.
  TaskId submit_in_order(const Task& task, std::span<const TaskId> predecessors = {},
                         const Rules& rules = {});
  // As TaskGraph::cancel_after(), now.
  void cancel(TaskId id);
  // From now on; 0: what needs the resource stands still.
  void set_rate(std::int32_t resource, double rate);

  // Lets time pass until tasks end, at most until the date. Returns all that have ended at that
  // instant, and by cancel() since the last call, in order; valid until the next call of advance()
  // or cancel(). Empty: the date is reached, or everything has ended. Throws InvariantError if
  // there is no date and what is left stands still for ever.
  std::span<const TaskId> advance(double until_s = std::numeric_limits<double>::infinity());

  [[nodiscard]] double now_s() const;
  [[nodiscard]] bool has_started(TaskId id) const;
  [[nodiscard]] bool has_ended(TaskId id) const;
  [[nodiscard]] bool is_cancelled(TaskId id) const;
  [[nodiscard]] std::size_t unfinished() const;
  // The end is meaningful when the task has ended, the start when it has started.
  [[nodiscard]] TaskTimes times(TaskId id) const;

  // Of a running task; looking changes nothing.
  struct Progress {
    std::uint32_t segment = 0;
    double latency_left_s = 0.0;
    double service_left = 1.0;  // fraction of the segment's needs
  };
  [[nodiscard]] Progress progress(TaskId id) const;

  // All tasks so far, as the graph of this run. Decisions are in record().
  [[nodiscard]] const TaskGraph& graph() const;
  // Throws InvariantError unless everything has ended and the run was recorded.
  [[nodiscard]] Record record() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moesim
