// Segments in service: queues of the resources, and who gets how much.
#include <algorithm>

#include "sim/flow/event_core.h"

namespace moesim::detail {

void EventCore::begin_service(std::int32_t slot, std::uint32_t segment, double left, double pace) {
  Running& running = running_[at(slot)];
  running.mode = Mode::serving;
  running.first = segment;
  running.since_s = now_;
  running.left = left;
  running.pace = pace;
  const std::int32_t offset = running.offset;
  for (const Need& need : graph_.needs(segments_of(running)[segment])) {
    queues_[at(need.resource + offset)].slots.push_back(slot);
    changed_.push_back(need.resource + offset);
  }
}

void EventCore::end_service(std::int32_t slot) {
  const Running& running = running_[at(slot)];
  const std::int32_t offset = running.offset;
  for (const Need& need : graph_.needs(segments_of(running)[running.first])) {
    auto& slots = queues_[at(need.resource + offset)].slots;
    *std::ranges::find(slots, slot) = slots.back();
    slots.pop_back();
    changed_.push_back(need.resource + offset);
  }
}

// Shares the resources again wherever the set of segments in service has changed.
void EventCore::share_changed() {
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

// All segments in service that are connected to the resource through shared resources. Of the
// resources that a segment has for itself at their full rate, only the one that it needs longest
// can ever be its bottleneck.
void EventCore::gather(std::int32_t resource) {
  component_.clear();
  sharing_.clear();
  visit_queue(queues_[at(resource)], rates_[at(resource)].fraction);
  for (std::size_t next = 0; next < component_.size(); ++next) {  // visit_queue() appends to it
    const Running& running = running_[at(component_[next])];
    const std::int32_t offset = running.offset;
    sharing_.begin_segment();
    double own_s = 0.0;
    for (const Need& need : graph_.needs(segments_of(running)[running.first])) {
      Queue& queue = queues_[at(need.resource + offset)];
      const Rate& rate = rates_[at(need.resource + offset)];
      const double seconds = need.amount / rate.nominal;
      if (queue.slots.size() == 1 && rate.fraction == 1.0) {
        queue.visit = visit_;
        own_s = std::max(own_s, seconds);
      } else {
        sharing_.add_use(visit_queue(queue, rate.fraction), seconds);
      }
    }
    if (own_s > 0) {
      sharing_.add_use(sharing_.add_resource(1.0), own_s);
    }
  }
}

std::uint32_t EventCore::visit_queue(Queue& queue, double fraction) {
  if (queue.visit == visit_) {
    return queue.local;
  }
  queue.visit = visit_;
  queue.local = sharing_.add_resource(fraction);
  for (const std::int32_t slot : queue.slots) {
    if (running_[at(slot)].visit != visit_) {
      running_[at(slot)].visit = visit_;
      component_.push_back(slot);
    }
  }
  return queue.local;
}

void EventCore::share_component() {
  if (component_.size() == 1) {
    const Running& running = running_[at(component_.front())];
    const Segment& segment = segments_of(running)[running.first];
    set_pace(component_.front(), 1.0 / service_alone_s(segment, running.offset));
    return;
  }
  const auto paces = sharing_.solve();
  for (std::size_t i = 0; i < component_.size(); ++i) {
    set_pace(component_[i], paces[i]);
  }
}

void EventCore::set_pace(std::int32_t slot, double pace) {
  Running& running = running_[at(slot)];
  if (pace == running.pace) {
    return;
  }
  running.left = std::max(0.0, running.left - running.pace * (now_ - running.since_s));
  running.since_s = now_;
  running.pace = pace;
  set_event(slot, pace > 0 ? now_ + running.left / pace : never_s);
}

}  // namespace moesim::detail
