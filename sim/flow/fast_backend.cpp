// Tasks: when they start and end, and what they do while they are alone.
#include <algorithm>
#include <cmath>
#include <utility>

#include "sim/core/error.h"
#include "sim/flow/fast_backend_run.h"

namespace moesim {
namespace detail {

FastRun::FastRun(const TaskGraph& graph, bool record_segments)
    : graph_(graph), tasks_(graph.tasks()), queues_(graph.resources.size()) {
  tenancies_.reserve(graph.resources.size());
  for (const Resource& resource : graph.resources) {
    ensure(resource.rate > 0 && std::isfinite(resource.rate),
           "a resource's rate is positive and finite");
    tenancies_.push_back({.rate = resource.rate});
  }
  result_.tasks.resize(tasks_.size());
  index_successors();
  if (record_segments) {
    index_segment_ends();
  }
}

void FastRun::index_successors() {
  waiting_for_.reserve(tasks_.size());
  first_successor_.assign(tasks_.size() + 2, 0);
  std::size_t edges = 0;
  for (const Task& task : tasks_) {
    waiting_for_.push_back(task.predecessor_count);
    edges += task.predecessor_count;
    for (const TaskId before : graph_.predecessors(task)) {
      ++first_successor_[at(before) + 2];
    }
  }
  // Counts sit two places late, so that the filling below moves them into place.
  for (std::size_t i = 2; i < first_successor_.size(); ++i) {
    first_successor_[i] += first_successor_[i - 1];
  }
  successors_.resize(edges);
  for (std::size_t id = 0; id < tasks_.size(); ++id) {
    for (const TaskId before : graph_.predecessors(tasks_[id])) {
      successors_[first_successor_[at(before) + 1]++] = static_cast<TaskId>(id);
    }
  }
}

void FastRun::index_segment_ends() {
  std::size_t total = 0;
  first_end_.reserve(tasks_.size());
  for (const Task& task : tasks_) {
    first_end_.push_back(total);
    total += graph_.segments(task.program).size();
  }
  result_.segment_ends_s.resize(total);
}

RunResult FastRun::run() {
  for (std::size_t id = 0; id < tasks_.size(); ++id) {
    if (waiting_for_[id] == 0) {
      ready_.push_back(static_cast<TaskId>(id));
    }
  }
  start_ready();
  share_out();
  while (!agenda_.empty()) {
    now_ = agenda_.next().time_s;
    // Everything that ends now ends before something new starts: tasks that merely follow each
    // other on a resource never meet.
    while (!agenda_.empty() && agenda_.next().time_s == now_) {
      const std::int32_t slot = agenda_.next().slot;
      agenda_.pop();
      handle(slot);
    }
    start_ready();
    share_out();
  }
  result_.makespan_s = now_;
  return std::move(result_);
}

void FastRun::start_ready() {
  for (const TaskId id : ready_) {
    start(id);
  }
  ready_.clear();
}

void FastRun::start(TaskId id) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::int32_t>(running_.size()));
    running_.emplace_back();
  }
  const std::int32_t slot = free_slots_.back();
  free_slots_.pop_back();
  running_[at(slot)] = {.task = id};
  result_.tasks[at(id)].start_s = now_;
  ++result_.events;
  if (occupy(slot)) {
    run_alone(slot);
  } else {
    begin_segment(slot);
  }
}

bool FastRun::occupy(std::int32_t slot) {
  const TaskId id = running_[at(slot)].task;
  const Task& task = tasks_[at(id)];
  bool alone = true;
  for (const std::int32_t relative : graph_.touched(task.program)) {
    const auto resource = static_cast<std::size_t>(std::int64_t{relative} + task.resource_offset);
    ensure(resource < tenancies_.size(), "a task's resources exist");
    Tenancy& tenancy = tenancies_[resource];
    if (tenancy.count++ > 0) {
      alone = false;
      const Running& owner = running_[at(tenancy.owner_slot)];
      if (owner.task == tenancy.owner_task && owner.mode == Mode::alone) {
        leave_alone(tenancy.owner_slot);
      }
    }
    tenancy.owner_slot = slot;
    tenancy.owner_task = id;
  }
  return alone;
}

bool FastRun::is_alone(const Running& running) const {
  const Task& task = task_of(running);
  return std::ranges::all_of(graph_.touched(task.program), [&](std::int32_t relative) {
    return tenancies_[at(relative + task.resource_offset)].count == 1;
  });
}

void FastRun::finish(std::int32_t slot) {
  Running& running = running_[at(slot)];
  const Task& task = task_of(running);
  const std::size_t id = at(running.task);
  result_.tasks[id].end_s = now_;
  for (const std::int32_t relative : graph_.touched(task.program)) {
    --tenancies_[at(relative + task.resource_offset)].count;
  }
  for (std::uint32_t i = first_successor_[id]; i < first_successor_[id + 1]; ++i) {
    const TaskId after = successors_[i];
    if (--waiting_for_[at(after)] == 0) {
      ready_.push_back(after);
    }
  }
  running.task = -1;
  free_slots_.push_back(slot);
}

double FastRun::service_alone_s(const Segment& segment, std::int32_t offset) const {
  double longest = 0.0;
  for (const Need& need : graph_.needs(segment)) {
    longest = std::max(longest, need.amount / tenancies_[at(need.resource + offset)].rate);
  }
  return longest;
}

// From the current segment on.
void FastRun::run_alone(std::int32_t slot) {
  Running& running = running_[at(slot)];
  const Task& task = task_of(running);
  running.mode = Mode::alone;
  running.since_s = now_;
  bool unit_rates = running.segment == 0;
  for (const std::int32_t relative : graph_.touched(task.program)) {
    Tenancy& tenancy = tenancies_[at(relative + task.resource_offset)];
    tenancy.owner_slot = slot;
    tenancy.owner_task = running.task;
    unit_rates = unit_rates && tenancy.rate == 1.0;
  }
  double duration_s = graph_.unit_rate_duration_s(task.program);
  if (!unit_rates) {
    duration_s = 0.0;
    for (const Segment& segment : segments_of(running).subspan(running.segment)) {
      duration_s += segment.latency_s;
      duration_s += service_alone_s(segment, task.resource_offset);
    }
  }
  agenda_.set({now_ + duration_s, running.task, slot});
}

// Finds out where the task is by now, and goes on segment by segment.
void FastRun::leave_alone(std::int32_t slot) {
  Running& running = running_[at(slot)];
  const std::int32_t offset = task_of(running).resource_offset;
  const auto segments = segments_of(running);
  double passed_s = 0.0;  // summed as in run_alone(), so that both see the same ends
  for (std::uint32_t i = running.segment; i < segments.size(); ++i) {
    const double latency_end_s = running.since_s + (passed_s + segments[i].latency_s);
    if (latency_end_s >= now_) {
      running.mode = Mode::latency;
      running.segment = i;
      agenda_.set({latency_end_s, running.task, slot});
      return;
    }
    const double service_s = service_alone_s(segments[i], offset);
    passed_s += segments[i].latency_s;
    passed_s += service_s;
    const double end_s = running.since_s + passed_s;
    if (end_s > now_) {
      running.segment = i;
      begin_service(slot, std::min(1.0, (end_s - now_) / service_s), 1.0 / service_s);
      agenda_.set({end_s, running.task, slot});
      return;
    }
    record_end(running, i, end_s);
  }
  // Its end is due now and comes next: it meets nobody.
}

void FastRun::record_ends_alone(const Running& running) {
  const auto segments = segments_of(running);
  double passed_s = 0.0;
  for (std::uint32_t i = running.segment; i < segments.size(); ++i) {
    passed_s += segments[i].latency_s;
    passed_s += service_alone_s(segments[i], task_of(running).resource_offset);
    record_end(running, i, running.since_s + passed_s);
  }
}

void FastRun::handle(std::int32_t slot) {
  Running& running = running_[at(slot)];
  ++result_.events;
  if (running.mode == Mode::alone) {
    if (!first_end_.empty()) {
      record_ends_alone(running);
    }
    finish(slot);
    return;
  }
  if (running.mode == Mode::latency && segments_of(running)[running.segment].need_count > 0) {
    begin_service(slot, 1.0, 0.0);
    return;
  }
  if (running.mode == Mode::serving) {
    end_service(slot);
  }
  record_end(running, running.segment, now_);
  ++running.segment;
  begin_segment(slot);
}

// Enters the current segment, or ends the task after the last one.
void FastRun::begin_segment(std::int32_t slot) {
  Running& running = running_[at(slot)];
  const auto segments = segments_of(running);
  for (; running.segment < segments.size(); ++running.segment) {
    if (running.segment > 0 && is_alone(running)) {
      run_alone(slot);
      return;
    }
    const Segment& segment = segments[running.segment];
    if (segment.latency_s > 0) {
      running.mode = Mode::latency;
      agenda_.set({now_ + segment.latency_s, running.task, slot});
      return;
    }
    if (segment.need_count > 0) {
      begin_service(slot, 1.0, 0.0);
      return;
    }
    record_end(running, running.segment, now_);
  }
  finish(slot);
}

}  // namespace detail

namespace {

class FastBackend final : public Backend {
 public:
  [[nodiscard]] RunResult run(const TaskGraph& graph, bool record_segments) const override {
    return detail::FastRun(graph, record_segments).run();
  }
};

}  // namespace

std::unique_ptr<Backend> make_fast_backend() { return std::make_unique<FastBackend>(); }

}  // namespace moesim
