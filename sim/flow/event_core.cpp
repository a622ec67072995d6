// Tasks: when they come and go, and what that does to the rates of resources.
#include "sim/flow/event_core.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"

namespace moesim::detail {

EventCore::EventCore(const TaskGraph& graph, Options options) : graph_(graph), options_(options) {
  add_resources();
  if (options_.record_segments) {
    index_segment_ends();
  }
}

void EventCore::add_resources() {
  tenancies_.reserve(graph_.resources.size());
  for (std::size_t i = tenancies_.size(); i < graph_.resources.size(); ++i) {
    const double rate = graph_.resources[i].rate;
    ensure(rate > 0 && std::isfinite(rate), "a resource's rate is positive and finite");
    tenancies_.push_back({.has_unit_rate = rate == 1.0});
    rates_.push_back({.nominal = rate});
  }
  queues_.resize(tenancies_.size());
}

void EventCore::index_segment_ends() {
  std::size_t total = 0;
  first_end_.reserve(graph_.tasks().size());
  for (const Task& task : graph_.tasks()) {
    first_end_.push_back(total);
    total += graph_.segments(task.program).size();
  }
  segment_ends_s_.resize(total);
}

// Field by field: most tasks never use the others, nor what their segments are.
void EventCore::begin(Running& running, TaskId id) const {
  const Task& task = graph_.tasks()[at(id)];
  running.task = id;
  running.program = task.program;
  running.offset = task.resource_offset;
  running.first_touched = graph_.first_touched(task.program);
  running.touched_count = static_cast<std::uint32_t>(graph_.touched(task.program).size());
  running.segments = static_cast<std::uint32_t>(graph_.segments(task.program).size());
  running.mode = Mode::run;
  running.in_service = false;
  running.first = 0;
  running.since_s = now_;
  running.is_whole = true;
}

std::int32_t EventCore::start(TaskId id) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::int32_t>(running_.size()));
    running_.emplace_back();
  }
  const std::int32_t slot = free_slots_.back();
  free_slots_.pop_back();
  const Task& task = graph_.tasks()[at(id)];
  if (graph_.has_holds()) {
    hold(task.program, task.resource_offset);
  }
  Running& running = running_[at(slot)];
  begin(running, id);
  ++events_;
  const Solitude solitude = occupy(slot);
  if (solitude.alone && solitude.unit_rates && options_.merge &&
      running.segments > 0) {  // most of them
    running.limit = running.segments;
    agenda_.set({now_ + graph_.unit_rate_duration_s(task.program), id, slot});
  } else {
    begin_run(slot, 0, false, running.segments > 0 ? segments_of(running).front().latency_s : 0.0,
              solitude);
  }
  return slot;
}

EventCore::Solitude EventCore::occupy(std::int32_t slot) {
  const TaskId id = running_[at(slot)].task;
  const std::int32_t offset = running_[at(slot)].offset;
  Solitude solitude;
  for (const std::int32_t relative : touched_by(running_[at(slot)])) {
    const auto resource = static_cast<std::size_t>(std::int64_t{relative} + offset);
    ensure(resource < tenancies_.size(), "a task's resources exist");
    Tenancy& tenancy = tenancies_[resource];
    if (++tenancy.count == 1) {
      tenancy.owner_slot = slot;
      tenancy.owner_task = id;
    } else {
      solitude.alone = false;
      if (tenancy.count == 2 && is_owner_in_run(tenancy)) {
        interrupt_run(tenancy.owner_slot);
      }
    }
    solitude.unit_rates = solitude.unit_rates && tenancy.has_unit_rate;
  }
  return solitude;
}

void EventCore::hold(ProgramId program, std::int32_t offset) {
  held_.resize(tenancies_.size());
  for (const Hold& hold : graph_.holds(program)) {
    const auto resource = static_cast<std::size_t>(std::int64_t{hold.resource} + offset);
    ensure(resource < tenancies_.size(), "a resource that is held exists");
    held_[resource].push_back(hold.fraction);
    update_fraction(static_cast<std::int32_t>(resource));
  }
}

void EventCore::release(ProgramId program, std::int32_t offset) {
  for (const Hold& hold : graph_.holds(program)) {
    const std::int32_t resource = hold.resource + offset;
    auto& held = held_[at(resource)];
    held.erase(std::ranges::find(held, hold.fraction));
    update_fraction(resource);
  }
}

void EventCore::set_rate(std::int32_t resource, double rate) {
  ensure(resource >= 0 && at(resource) < tenancies_.size(), "a resource whose rate changes exists");
  ensure(rate >= 0 && std::isfinite(rate), "a rate is finite and not negative");
  rates_[at(resource)].set = rate / rates_[at(resource)].nominal;
  update_fraction(resource);
}

void EventCore::update_fraction(std::int32_t resource) {
  Tenancy& tenancy = tenancies_[at(resource)];
  double free = 1.0;
  if (at(resource) < held_.size()) {
    for (const double fraction : held_[at(resource)]) {
      free -= fraction;
    }
  }
  Rate& current = rates_[at(resource)];
  const double fraction = current.set * std::max(0.0, free);
  if (fraction == current.fraction) {
    return;
  }
  tenancy.has_unit_rate = fraction == 1.0 && current.nominal == 1.0;
  Step step;
  if (const std::int32_t slot = tenancy.owner_slot;
      tenancy.count == 1 && is_owner_in_run(tenancy) && locate(running_[at(slot)], step)) {
    const double left = left_of(running_[at(slot)], step);  // at the old rate
    record_run(running_[at(slot)]);
    current.fraction = fraction;
    begin_run(slot, step.segment, step.in_service, left);
  }
  current.fraction = fraction;
  if (!queues_[at(resource)].slots.empty()) {
    changed_.push_back(resource);
  }
}

void EventCore::advance_to(double time_s) {
  now_ = time_s;
  ended_.clear();
  while (!agenda_.empty() && agenda_.next().time_s <= now_) {
    const std::int32_t slot = agenda_.next().slot;
    agenda_.pop();
    handle(slot);
  }
  // Only now, so that the others' events at this instant came first.
  if (graph_.has_holds()) {
    for (const TaskId id : ended_) {
      const Task& task = graph_.tasks()[at(id)];
      release(task.program, task.resource_offset);
    }
  }
}

void EventCore::handle(std::int32_t slot) {
  ++events_;
  const Running& running = running_[at(slot)];
  if (running.mode == Mode::run) {
    if (options_.merge && !options_.record_segments && running.limit == running.segments) {
      finish(slot);
    } else {
      handle_run(slot);
    }
    return;
  }
  end_service(slot);
  record_end(running.task, running.first, now_);
  const std::uint32_t next = running.first + 1;
  if (next == running.segments) {
    finish(slot);
  } else {
    begin_run(slot, next, false, segments_of(running)[next].latency_s);
  }
}

void EventCore::finish(std::int32_t slot) {
  ended_.push_back(running_[at(slot)].task);
  leave(slot);
}

void EventCore::leave(std::int32_t slot) {
  Running& running = running_[at(slot)];
  const std::int32_t offset = running.offset;
  for (const std::int32_t relative : touched_by(running)) {
    --tenancies_[at(relative + offset)].count;
  }
  running.task = -1;
  free_slots_.push_back(slot);
}

void EventCore::cancel(std::int32_t slot) {
  const Running running = running_[at(slot)];
  std::uint32_t reached = running.first;
  if (running.mode == Mode::serving) {
    end_service(slot);
  } else {
    Step step;
    record_run(running);
    reached = locate(running, step) ? step.segment : running.limit;
  }
  for (std::uint32_t i = reached; i < running.segments; ++i) {
    record_end(running.task, i, now_);
  }
  agenda_.remove(slot);
  leave(slot);
  release(running.program, running.offset);
}

EventCore::Progress EventCore::progress(std::int32_t slot) const {
  const Running& running = running_[at(slot)];
  if (running.mode == Mode::serving) {
    const double done = running.pace * (now_ - running.since_s);
    return {running.first, 0.0, std::max(0.0, running.left - done)};
  }
  Step step;
  if (!locate(running, step)) {
    return {running.limit, 0.0, 1.0};
  }
  const double left = left_of(running, step);
  return step.in_service ? Progress{step.segment, 0.0, left} : Progress{step.segment, left, 1.0};
}

}  // namespace moesim::detail
