// Runs: what a task does while nobody else has to do with it.
#include <algorithm>
#include <cmath>

#include "sim/flow/event_core.h"

namespace moesim::detail {

void EventCore::set_event(std::int32_t slot, double time_s) {
  if (time_s < never_s) {
    agenda_.set({time_s, running_[at(slot)].task, slot});
  } else {
    agenda_.remove(slot);
  }
}

double EventCore::service_alone_s(const Segment& segment, std::int32_t offset) const {
  double longest = 0.0;
  for (const Need& need : graph_.needs(segment)) {
    const Rate& rate = rates_[at(need.resource + offset)];
    const double seconds = need.amount / rate.nominal;
    longest = std::max(longest, rate.fraction == 1.0 ? seconds : seconds / rate.fraction);
  }
  return longest;
}

bool EventCore::is_private(const Segment& segment, std::int32_t offset) const {
  return std::ranges::all_of(graph_.needs(segment), [&](const Need& need) {
    return tenancies_[at(need.resource + offset)].count == 1;
  });
}

// Makes it the owner of the resources that no other running task has in its program.
EventCore::Solitude EventCore::claim(std::int32_t slot) {
  const Running& running = running_[at(slot)];
  Solitude solitude;
  for (const std::int32_t relative : touched_by(running)) {
    Tenancy& tenancy = tenancies_[at(relative + running.offset)];
    if (tenancy.count == 1) {
      tenancy.owner_slot = slot;
      tenancy.owner_task = running.task;
    }
    solitude.alone = solitude.alone && tenancy.count == 1;
    solitude.unit_rates = solitude.unit_rates && tenancy.has_unit_rate;
  }
  return solitude;
}

// `left`: seconds of the segment's latency, or in_service the fraction of its service.
void EventCore::begin_run(std::int32_t slot, std::uint32_t first, bool in_service, double left,
                          Solitude solitude) {
  Running& running = running_[at(slot)];
  running.mode = Mode::run;
  running.is_whole = false;
  running.in_service = in_service;
  running.first = first;
  running.since_s = now_;
  running.left = left;
  running.limit = running.segments;
  if (!solitude.alone) {
    const auto segments = segments_of(running);
    const std::int32_t offset = running.offset;
    running.limit = first;
    while (running.limit < running.segments && is_private(segments[running.limit], offset)) {
      ++running.limit;
    }
    if (first == running.limit && first < running.segments &&
        (running.in_service || running.left == 0.0)) {
      agenda_.remove(slot);
      begin_service(slot, first, running.in_service ? running.left : 1.0, 0.0);
      return;
    }
  }
  if (first == running.segments) {
    set_event(slot, now_);
    return;
  }
  running.step = first_step(running);
  if (!options_.merge) {
    follow_steps(slot);
  } else {
    set_event(slot, now_ + run_length_s(running));
  }
}

Step EventCore::first_step(const Running& running) const {
  if (!running.in_service) {
    return {running.first, false, 0.0, running.left, 0.0};
  }
  const double service_s = service_alone_s(segments_of(running)[running.first], running.offset);
  return {running.first, true, 0.0, running.left * service_s, service_s};
}

// False after the last step of the run.
bool EventCore::next_step(const Running& running, Step& step) const {
  step.begin_s = step.end_s;
  if (step.in_service) {
    if (++step.segment == running.segments) {
      return false;
    }
    step.in_service = false;
    step.end_s += segments_of(running)[step.segment].latency_s;
    return true;
  }
  if (step.segment == running.limit) {
    return false;
  }
  step.in_service = true;
  step.service_s = service_alone_s(segments_of(running)[step.segment], running.offset);
  step.end_s += step.service_s;
  return true;
}

double EventCore::run_length_s(const Running& running) const {
  Step step = known_step(running);
  while (next_step(running, step)) {
  }
  return step.begin_s;
}

// Where the run is by now; false if its end is due now.
bool EventCore::locate(const Running& running, Step& step) const {
  if (running.first == running.segments) {
    return false;
  }
  step = known_step(running);
  while (running.since_s + step.end_s <= now_) {
    if (!next_step(running, step)) {
      return false;
    }
  }
  return true;
}

double EventCore::left_of(const Running& running, const Step& step) const {
  if (!step.in_service) {
    return running.since_s + step.end_s - now_;
  }
  if (step.service_s == never_s) {  // stands still
    return step.begin_s == 0.0 && running.in_service ? running.left : 1.0;
  }
  return std::min(1.0, (running.since_s + step.end_s - now_) / step.service_s);
}

// Without merging: to the first step that ends later than now, with an event at its end.
void EventCore::follow_steps(std::int32_t slot) {
  Running& running = running_[at(slot)];
  Step step = running.step;
  while (running.since_s + step.end_s <= now_) {
    record_step(running, step);
    if (!next_step(running, step)) {
      break;
    }
    running.step = step;
  }
  set_event(slot, running.since_s + running.step.end_s);
}

void EventCore::record_step(const Running& running, const Step& step) {
  if (step.in_service) {
    record_end(running.task, step.segment, running.since_s + step.end_s);
  }
}

// The steps that have ended by now.
void EventCore::record_run(const Running& running) {
  if (!options_.record_segments || running.first == running.segments) {
    return;
  }
  Step step = known_step(running);
  do {
    if (running.since_s + step.end_s > now_) {
      return;
    }
    record_step(running, step);
  } while (next_step(running, step));
}

void EventCore::handle_run(std::int32_t slot) {
  Running& running = running_[at(slot)];
  record_run(running);
  if (!options_.merge && running.first < running.segments && next_step(running, running.step)) {
    follow_steps(slot);
  } else {
    end_run(slot);
  }
}

void EventCore::end_run(std::int32_t slot) {
  const Running& running = running_[at(slot)];
  if (running.limit < running.segments) {
    begin_service(slot, running.limit, 1.0, 0.0);
  } else {
    finish(slot);
  }
}

// Somebody else has come to one of its resources.
void EventCore::interrupt_run(std::int32_t slot) {
  Running& running = running_[at(slot)];
  Step step;
  if (!locate(running, step)) {
    return;  // its end comes next: it meets nobody
  }
  const std::int32_t offset = running.offset;
  const auto segments = segments_of(running);
  if (step.in_service && !is_private(segments[step.segment], offset)) {
    record_run(running);
    const double end_s = running.since_s + step.end_s;
    begin_service(slot, step.segment, left_of(running, step), 1.0 / step.service_s);
    set_event(slot, end_s);
    return;
  }
  std::uint32_t limit = step.segment + (step.in_service ? 1 : 0);
  while (limit < running.limit && is_private(segments[limit], offset)) {
    ++limit;
  }
  if (options_.merge) {
    // From now on the rates of what came before may change, without a word to this run.
    record_run(running);
    running.is_whole = false;
    running.step = step;
  }
  if (limit < running.limit) {
    running.limit = limit;
    if (options_.merge) {
      set_event(slot, running.since_s + run_length_s(running));
    }
  }
}

}  // namespace moesim::detail
