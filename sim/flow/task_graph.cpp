#include "sim/flow/task_graph.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sim/core/error.h"

namespace moesim {

void TaskGraph::reserve(const GraphSize& size) {
  programs_.reserve(size.programs);
  segments_.reserve(size.segments);
  needs_.reserve(size.needs);
  touched_.reserve(size.touched);
  tasks_.reserve(size.tasks);
  predecessors_.reserve(size.edges);
}

GraphSize TaskGraph::size() const {
  return {.programs = programs_.size(),
          .segments = segments_.size(),
          .needs = needs_.size(),
          .touched = touched_.size(),
          .tasks = tasks_.size(),
          .edges = predecessors_.size()};
}

ProgramId TaskGraph::begin_program() {
  programs_.push_back({.first_segment = static_cast<std::uint32_t>(segments_.size()),
                       .first_touched = static_cast<std::uint32_t>(touched_.size())});
  return static_cast<ProgramId>(programs_.size() - 1);
}

void TaskGraph::note_touch(std::int32_t resource, std::uint32_t segment) {
  const auto index = static_cast<std::size_t>(resource);
  if (index >= touched_by_.size()) {
    touched_by_.resize(std::max(index + 1, 2 * touched_by_.size()));
  }
  Program& program = programs_.back();
  if (touched_by_[index] <= program.first_segment) {
    touched_.push_back(resource);
    ++program.touched_count;
  }
  ensure(touched_by_[index] != segment + 1, "a segment names a resource once");
  touched_by_[index] = segment + 1;
}

void TaskGraph::add_segment(double latency_s, std::span<const Need> needs) {
  ensure(!programs_.empty(), "a segment belongs to a program");
  ensure(latency_s >= 0 && std::isfinite(latency_s), "a latency is finite and not negative");
  const auto segment = static_cast<std::uint32_t>(segments_.size());
  segments_.push_back({latency_s, static_cast<std::uint32_t>(needs_.size()),
                       static_cast<std::uint32_t>(needs.size())});
  double largest = 0.0;
  bool is_ascending = true;
  bool is_valid = true;
  std::int32_t before = -1;
  for (const Need& need : needs) {
    is_ascending = is_ascending && need.resource > before;
    is_valid = is_valid && need.resource >= 0 && need.amount > 0 &&
               need.amount <= std::numeric_limits<double>::max();
    largest = std::max(largest, need.amount);
    before = need.resource;
  }
  ensure(is_valid, "a need is positive and finite, and its resource not negative");
  needs_.insert(needs_.end(), needs.begin(), needs.end());
  Program& program = programs_.back();
  if (is_ascending && program.segment_count == 0) {  // a coflow's one segment: no search
    touch_all(needs);
  } else {
    if (program.segment_count == 1) {
      note_first_segment();
    }
    for (const Need& need : needs) {
      note_touch(need.resource, segment);
    }
  }
  program.unit_rate_duration_s += latency_s;
  program.unit_rate_duration_s += largest;
  ++program.segment_count;
}

void TaskGraph::touch_all(std::span<const Need> needs) {
  const std::size_t first = touched_.size();
  touched_.resize(first + needs.size());
  std::ranges::transform(needs, touched_.begin() + static_cast<std::ptrdiff_t>(first),
                         &Need::resource);
  programs_.back().touched_count = static_cast<std::uint32_t>(needs.size());
}

// What touch_all() left out, now that another segment follows.
void TaskGraph::note_first_segment() {
  const Program& program = programs_.back();
  for (const Need& need : this->needs(segments_[program.first_segment])) {
    const auto index = static_cast<std::size_t>(need.resource);
    if (index >= touched_by_.size()) {
      touched_by_.resize(std::max(index + 1, 2 * touched_by_.size()));
    }
    touched_by_[index] = program.first_segment + 1;
  }
}

TaskId TaskGraph::add_task(Task task, std::span<const TaskId> predecessors, const Rules& rules) {
  const auto id = static_cast<TaskId>(tasks_.size());
  ensure(task.program >= 0 && static_cast<std::size_t>(task.program) < programs_.size(),
         "a task's program exists");
  ensure(rules.executor >= -1 && rules.executor < executor_count_, "a task's executor exists");
  ensure(rules.not_before_s >= 0 && std::isfinite(rules.not_before_s),
         "a task's date is finite and not negative");
  task.rules = -1;
  if (rules.executor >= 0 || rules.not_before_s > 0) {
    task.rules = static_cast<std::int32_t>(rules_.size());
    rules_.push_back(rules);
  }
  task.first_predecessor = static_cast<std::uint32_t>(predecessors_.size());
  task.predecessor_count = static_cast<std::uint32_t>(predecessors.size());
  for (const TaskId before : predecessors) {
    ensure(before >= 0 && before < id, "a predecessor exists before its successor");
    predecessors_.push_back(before);
  }
  tasks_.push_back(task);
  return id;
}

TaskId TaskGraph::add_task_in_order(Task task, std::span<const TaskId> predecessors,
                                    const Rules& rules) {
  ensure(task.stream >= 0, "a stream in order has a number");
  const auto stream = static_cast<std::size_t>(task.stream);
  if (stream >= last_in_stream_.size()) {
    last_in_stream_.resize(stream + 1, -1);
  }
  in_order_.assign(predecessors.begin(), predecessors.end());
  const TaskId last = last_in_stream_[stream];
  if (last >= 0 && std::ranges::find(in_order_, last) == in_order_.end()) {
    in_order_.push_back(last);
  }
  return last_in_stream_[stream] = add_task(task, in_order_, rules);
}

void TaskGraph::add_hold(Hold hold) {
  ensure(!programs_.empty(), "a hold belongs to a program");
  ensure(hold.resource >= 0, "a hold's resource is not negative");
  ensure(hold.fraction > 0 && hold.fraction <= 1, "a hold takes more than nothing, at most all");
  holds_.push_back(hold);
  hold_program_.push_back(static_cast<ProgramId>(programs_.size() - 1));
}

std::span<const Hold> TaskGraph::holds(ProgramId program) const {
  const auto range = std::ranges::equal_range(hold_program_, program);
  const auto first = static_cast<std::size_t>(range.begin() - hold_program_.begin());
  return std::span(holds_).subspan(first, range.size());
}

void TaskGraph::set_rate_after(TaskId cause, std::int32_t resource, double rate) {
  ensure(cause >= 0 && static_cast<std::size_t>(cause) < tasks_.size(), "an action's cause exists");
  ensure(resource >= 0 && static_cast<std::size_t>(resource) < resources.size(),
         "a resource whose rate changes exists");
  ensure(rate >= 0 && std::isfinite(rate), "a rate is finite and not negative");
  actions_.push_back({cause, ActionKind::set_rate, resource, rate});
}

void TaskGraph::cancel_after(TaskId cause, TaskId victim) {
  const auto exists = [this](TaskId id) {
    return id >= 0 && static_cast<std::size_t>(id) < tasks_.size();
  };
  ensure(exists(cause), "an action's cause exists");
  ensure(exists(victim), "a task that is cancelled exists");
  actions_.push_back({cause, ActionKind::cancel, victim, 0.0});
}

std::int32_t TaskGraph::label(const std::string& text) {
  const auto found = std::ranges::find(labels_, text);
  if (found == labels_.end()) {
    labels_.push_back(text);
    return static_cast<std::int32_t>(labels_.size() - 1);
  }
  return static_cast<std::int32_t>(found - labels_.begin());
}

}  // namespace moesim
