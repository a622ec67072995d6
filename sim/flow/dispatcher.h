// When tasks may start: predecessors, dates, executors; and what happens when a task has ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <queue>
#include <span>
#include <unordered_map>
#include <vector>

#include "sim/flow/event_core.h"
#include "sim/flow/recorder.h"

namespace moesim::detail {

class Dispatcher {
 public:
  // `recorder` may be null.
  Dispatcher(const TaskGraph& graph, EventCore::Options options, Recorder* recorder);

  // Takes in what the graph has got since: tasks (which may start from now on), executors,
  // resources, actions.
  void take_in();

  [[nodiscard]] double now_s() const { return core_.now_s(); }

  // One instant: starts what may start, goes to the next instant at which something happens, not
  // beyond `limit_s`, and through all that ends then. False if nothing happens until the limit,
  // where time then stands if the limit is finite.
  bool advance(double limit_s);
  // What ended in the last advance(), and by cancellation since; in order.
  [[nodiscard]] std::span<const TaskId> ended() const { return ended_; }

  // Both happen now.
  void cancel(TaskId id);
  void set_rate(std::int32_t resource, double rate);

  enum class Phase : std::uint8_t { waiting, dated, queued, ready, running, ended };
  [[nodiscard]] Phase phase(TaskId id) const { return states_[at(id)].phase; }
  [[nodiscard]] bool is_cancelled(TaskId id) const { return states_[at(id)].cancelled; }
  [[nodiscard]] EventCore::Progress progress(TaskId id) const {
    return core_.progress(states_[at(id)].count);
  }
  [[nodiscard]] const TaskTimes& times(TaskId id) const { return times_[at(id)]; }
  [[nodiscard]] std::size_t unfinished() const { return unfinished_; }

  // Everything has ended. Leaves the dispatcher empty.
  RunResult take_result();

 private:
  static constexpr std::uint32_t none = UINT32_MAX;

  struct State {
    std::int32_t count = 0;  // waiting: for how many predecessors; running: its slot in the core
    std::uint32_t first_edge = none;
    std::uint32_t last_edge = none;
    Phase phase = Phase::waiting;
    bool cancelled = false;
    bool has_rules = false;
    bool has_actions = false;
  };
  struct Edge {
    TaskId after = 0;
    std::uint32_t next = none;  // of the same predecessor
  };
  struct Executor {
    std::vector<TaskId> queue;  // a heap: the next to run in front; cancelled ones stay in it
    TaskId running = -1;
    TaskId last = -1;  // that ran
    bool is_touched = false;
  };
  struct Date {
    double time_s = 0.0;
    TaskId task = 0;
    bool operator>(const Date& other) const {
      return time_s > other.time_s || (time_s == other.time_s && task > other.task);
    }
  };

  void admit(TaskId id);
  void may_start(TaskId id);
  void enqueue(TaskId id);
  void touch(ExecutorId id);
  void start(TaskId id, TaskId after);
  void start_ready();
  void serve(Executor& executor);
  void end(TaskId id);
  void end_unstarted(TaskId id);
  void settle(std::size_t first);
  void act(TaskId cause);
  void cancel_task(TaskId id);
  [[nodiscard]] Rules rules_of(TaskId id) const { return graph_.rules(graph_.tasks()[at(id)]); }
  [[nodiscard]] bool runs_later(TaskId a, TaskId b) const;
  [[nodiscard]] double next_date_s() const {
    return dates_.empty() ? never_s : dates_.top().time_s;
  }

  const TaskGraph& graph_;
  EventCore core_;
  Recorder* recorder_;
  std::vector<State> states_;     // by task
  std::vector<TaskTimes> times_;  // by task
  std::vector<Edge> edges_;
  std::vector<TaskId> ready_;
  std::vector<TaskId> ended_;
  std::vector<Executor> executors_;
  std::vector<ExecutorId> touched_;  // may take a task at this instant
  std::priority_queue<Date, std::vector<Date>, std::greater<>> dates_;
  std::unordered_map<TaskId, std::vector<std::uint32_t>> actions_of_;  // by cause
  std::uint32_t actions_ = 0;                                          // of the graph, taken in
  std::size_t unfinished_ = 0;
};

}  // namespace moesim::detail
