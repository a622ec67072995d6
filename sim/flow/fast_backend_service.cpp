// Segments past their latency: queues of the resources, and who gets how much.
#include <algorithm>

#include "sim/flow/fast_backend_run.h"

namespace moesim::detail {

void FastRun::begin_service(std::int32_t slot, double left, double pace) {
  Running& running = running_[at(slot)];
  running.mode = Mode::serving;
  running.since_s = now_;
  running.left = left;
  running.pace = pace;
  const std::int32_t offset = task_of(running).resource_offset;
  for (const Need& need : graph_.needs(segments_of(running)[running.segment])) {
    queues_[at(need.resource + offset)].slots.push_back(slot);
    changed_.push_back(need.resource + offset);
  }
}

void FastRun::end_service(std::int32_t slot) {
  const Running& running = running_[at(slot)];
  const std::int32_t offset = task_of(running).resource_offset;
  for (const Need& need : graph_.needs(segments_of(running)[running.segment])) {
    auto& slots = queues_[at(need.resource + offset)].slots;
    *std::ranges::find(slots, slot) = slots.back();
    slots.pop_back();
    changed_.push_back(need.resource + offset);
  }
}

// Shares the resources again wherever the set of live segments has changed.
void FastRun::share_out() {
  if (changed_.empty()) {
    return;
  }
  ++visit_;
  for (const std::int32_t resource : changed_) {
    const Queue& queue = queues_[at(resource)];
    if (queue.visit != visit_ && !queue.slots.empty()) {
      gather(resource);
      share_component();
    }
  }
  changed_.clear();
}

// All live segments that are connected to the resource through shared resources.
void FastRun::gather(std::int32_t resource) {
  component_.clear();
  component_resources_ = 0;
  visit_queue(resource);
  std::size_t next = 0;
  while (next < component_.size()) {  // visit_queue() appends to it
    const Running& running = running_[at(component_[next++])];
    const std::int32_t offset = task_of(running).resource_offset;
    for (const Need& need : graph_.needs(segments_of(running)[running.segment])) {
      visit_queue(need.resource + offset);
    }
  }
}

void FastRun::visit_queue(std::int32_t resource) {
  Queue& queue = queues_[at(resource)];
  if (queue.visit == visit_) {
    return;
  }
  queue.visit = visit_;
  queue.local = component_resources_++;
  for (const std::int32_t slot : queue.slots) {
    if (running_[at(slot)].visit != visit_) {
      running_[at(slot)].visit = visit_;
      component_.push_back(slot);
    }
  }
}

void FastRun::share_component() {
  if (component_.size() == 1) {
    const Running& running = running_[at(component_.front())];
    const Segment& segment = segments_of(running)[running.segment];
    set_pace(component_.front(), 1.0 / service_alone_s(segment, task_of(running).resource_offset));
    return;
  }
  sharing_.clear(component_resources_);
  for (const std::int32_t slot : component_) {
    const Running& running = running_[at(slot)];
    const std::int32_t offset = task_of(running).resource_offset;
    sharing_.begin_segment();
    for (const Need& need : graph_.needs(segments_of(running)[running.segment])) {
      const std::size_t resource = at(need.resource + offset);
      sharing_.add_use(queues_[resource].local, need.amount / tenancies_[resource].rate);
    }
  }
  const auto paces = sharing_.solve();
  for (std::size_t i = 0; i < component_.size(); ++i) {
    set_pace(component_[i], paces[i]);
  }
}

void FastRun::set_pace(std::int32_t slot, double pace) {
  Running& running = running_[at(slot)];
  if (pace == running.pace) {
    return;
  }
  running.left = std::max(0.0, running.left - running.pace * (now_ - running.since_s));
  running.since_s = now_;
  running.pace = pace;
  agenda_.set({now_ + running.left / pace, running.task, slot});
}

}  // namespace moesim::detail
