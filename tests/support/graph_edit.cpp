#include "tests/support/graph_edit.h"

namespace moesim::test {
namespace {

std::int32_t new_id(const GraphEdit& edit, std::int32_t id) {
  return edit.new_resource_ids.empty() ? id : edit.new_resource_ids[static_cast<std::size_t>(id)];
}

}  // namespace

void append(TaskGraph& to, const TaskGraph& from, const GraphEdit& edit) {
  const auto first_resource = static_cast<std::int32_t>(to.resources.size());
  const auto first_task = static_cast<TaskId>(to.tasks().size());
  to.resources.resize(to.resources.size() + from.resources.size());
  for (std::size_t i = 0; i < from.resources.size(); ++i) {
    const std::int32_t id = first_resource + new_id(edit, static_cast<std::int32_t>(i));
    Resource& resource = to.resources[static_cast<std::size_t>(id)];
    resource = from.resources[i];
    resource.rate *= edit.rate_factor;
  }
  for (const Task& task : from.tasks()) {
    Task copy = task;
    copy.program = to.begin_program();
    copy.resource_offset = 0;
    for (const Segment& segment : from.segments(task.program)) {
      std::vector<Need> needs;
      for (const Need& need : from.needs(segment)) {
        const std::int32_t id = new_id(edit, need.resource + task.resource_offset);
        needs.push_back({first_resource + id, need.amount});
      }
      to.add_segment(segment.latency_s * edit.latency_factor, needs);
    }
    std::vector<TaskId> before;
    for (const TaskId id : from.predecessors(task)) {
      before.push_back(first_task + id);
    }
    to.add_task(copy, before);
  }
}

}  // namespace moesim::test
