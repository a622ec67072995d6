// Takes notes of a run's decisions while they are made; see record.h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/flow/record.h"

namespace moesim::detail {

class Recorder {
 public:
  // What is decided next is decided when these tasks have ended; at this date.
  void decide(std::span<const TaskId> causes);
  void decide_at(double date_s);

  // Decisions.
  void submitted(TaskId id);
  void rate_set(std::int32_t resource, double rate);
  void cancelled(TaskId id, bool was_running);

  // What came of them. `after`: the executor's task before this one, or -1.
  void started(TaskId id, TaskId after);
  void ended_unstarted(TaskId id);

  // All tasks of `graph` have ended. Throws InvariantError otherwise.
  [[nodiscard]] Record record(const TaskGraph& graph) const;

 private:
  enum class Kind : std::uint8_t { decision, rate, cancel, start, no_start };
  struct Note {
    Kind kind = Kind::start;
    std::int32_t id = 0;     // task, resource; decision: where its causes begin
    std::int32_t other = 0;  // start: the task before; decision: where its causes end
    double value = 0.0;      // rate; decision: date
  };
  void note_decision();
  class Builder;

  std::vector<Note> notes_;
  std::vector<TaskId> causes_;
  std::vector<TaskId> next_causes_;
  double next_date_s_ = 0.0;
  bool is_noted_ = false;                  // the decision that next_... describe
  std::int32_t decisions_ = 0;             // noted
  std::vector<std::int32_t> decision_of_;  // by task: that submitted it, -1: from the start
  std::vector<std::int32_t> cancel_of_;    // by task: that cancelled it while it waited, or -1
};

}  // namespace moesim::detail
