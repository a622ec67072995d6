#include "sim/flow/task_graph.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"

namespace moesim {

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
  for (const Need& need : needs) {
    ensure(need.resource >= 0, "a need's resource is not negative");
    ensure(need.amount > 0 && std::isfinite(need.amount), "a need is positive and finite");
    largest = std::max(largest, need.amount);
    note_touch(need.resource, segment);
    needs_.push_back(need);
  }
  Program& program = programs_.back();
  program.unit_rate_duration_s += latency_s;
  program.unit_rate_duration_s += largest;
  ++program.segment_count;
}

TaskId TaskGraph::add_task(Task task, std::span<const TaskId> predecessors) {
  const auto id = static_cast<TaskId>(tasks_.size());
  ensure(task.program >= 0 && static_cast<std::size_t>(task.program) < programs_.size(),
         "a task's program exists");
  task.first_predecessor = static_cast<std::uint32_t>(predecessors_.size());
  task.predecessor_count = static_cast<std::uint32_t>(predecessors.size());
  for (const TaskId before : predecessors) {
    ensure(before >= 0 && before < id, "a predecessor exists before its successor");
    predecessors_.push_back(before);
  }
  tasks_.push_back(task);
  return id;
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
