#include "sim/engine/task_graph.h"

#include <algorithm>

#include "sim/core/error.h"

namespace moesim {

ProgramId TaskGraph::begin_program() {
  programs_.push_back({static_cast<std::uint32_t>(segments_.size()), 0});
  return static_cast<ProgramId>(programs_.size() - 1);
}

void TaskGraph::add_segment(double latency_s, std::span<const Need> needs) {
  ensure(!programs_.empty(), "a segment belongs to a program");
  ensure(latency_s >= 0, "a latency is not negative");
  segments_.push_back({latency_s, static_cast<std::uint32_t>(needs_.size()),
                       static_cast<std::uint32_t>(needs.size())});
  for (const Need& need : needs) {
    ensure(need.amount > 0, "a need is positive");
    needs_.push_back(need);
  }
  ++programs_.back().segment_count;
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

std::span<const Segment> TaskGraph::segments(ProgramId program) const {
  const Program& p = programs_[static_cast<std::size_t>(program)];
  return std::span(segments_).subspan(p.first_segment, p.segment_count);
}

std::span<const Need> TaskGraph::needs(const Segment& segment) const {
  return std::span(needs_).subspan(segment.first_need, segment.need_count);
}

std::span<const TaskId> TaskGraph::predecessors(const Task& task) const {
  return std::span(predecessors_).subspan(task.first_predecessor, task.predecessor_count);
}

}  // namespace moesim
