// Static graphs without events: a task that meets nobody on its resources ends at a time that is
// known as soon as its predecessors' ends are. That it met nobody is checked, not assumed; who does
// meet somebody is served by the event core. Times are the same bits as with events for everything.
// BACKENDS.md explains the algorithm.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <queue>
#include <span>
#include <vector>

#include "sim/flow/backend.h"
#include "sim/flow/event_core.h"

namespace moesim::detail {

class Lookahead {
 public:
  // Executors, dates, actions and holds need the dispatcher.
  static bool suits(const TaskGraph& graph);

  // The graph suits. Throws InvariantError for rates that are not positive and finite.
  Lookahead(const TaskGraph& graph, bool record_segments);

  // Nothing where so many tasks meet that events for all of them cost less, and where not every
  // task ends at a finite time. Called once. Throws InvariantError for a task whose resources do
  // not exist.
  std::optional<RunResult> run();

  // Tasks of a run that succeeded: by the event core, and all others.
  [[nodiscard]] std::size_t served() const { return served_; }
  [[nodiscard]] std::size_t foreseen() const { return foreseen_; }

 private:
  // Of the tasks that end at one time, those that took no time end in a round behind the others; a
  // task starts behind the round in which the last of its predecessors ended.
  struct Instant {
    double time_s = 0.0;
    std::int32_t round = -1;
    friend auto operator<=>(const Instant&, const Instant&) = default;
  };
  struct State {
    std::int32_t waits = 0;   // for so many predecessors
    std::int32_t round = -1;  // with its start: where the last of them ended
    TaskId last = -1;         // of these, the one with the highest id
    bool is_served = false;   // by the event core
  };
  struct Use {
    Instant until;  // busy until then; for ever while a served task's end is not known
    double rate = 1.0;
    bool is_shared = false;  // tasks meet on it
  };
  struct Start {
    Instant when;
    TaskId last = -1;
    TaskId task = -1;
    friend auto operator<=>(const Start&, const Start&) = default;
  };

  void find_successors();
  bool attempt();
  bool serve();
  bool place_ready();
  bool place(TaskId id);
  void ends(TaskId id, Instant when);
  void note_conflict(const Task& task, Instant start);
  void start_served(Instant when);
  [[nodiscard]] double length_s(const Task& task) const;
  [[nodiscard]] double service_s(const Task& task, const Segment& segment) const;
  [[nodiscard]] Use& use_of(const Task& task, std::int32_t relative) {
    return uses_[static_cast<std::size_t>(std::int64_t{relative} + task.resource_offset)];
  }
  RunResult take_result();
  void record_foreseen(std::vector<double>& segment_ends_s) const;

  const TaskGraph& graph_;
  bool record_segments_;
  std::vector<std::uint32_t> first_after_;  // by task, into after_
  std::vector<TaskId> after_;               // successors, ascending
  std::vector<State> states_;               // by task
  std::vector<TaskTimes> times_;            // by task; the start is the latest end seen so far
  std::vector<Use> uses_;                   // by resource
  std::vector<TaskId> ready_;               // predecessors' ends are known
  std::priority_queue<Start, std::vector<Start>, std::greater<>> starts_;  // of served tasks
  std::optional<EventCore> core_;                                          // if any are
  int conflicts_ = 0;
  std::size_t served_ = 0;
  std::size_t foreseen_ = 0;
  std::size_t ended_ = 0;
  double makespan_s_ = 0.0;
};

}  // namespace moesim::detail
