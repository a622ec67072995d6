// Event-driven fair-bottleneck engine; BACKENDS.md explains the algorithm.
#include <algorithm>
#include <cmath>
#include <limits>

#include "sim/core/error.h"
#include "sim/engine/backend.h"
#include "sim/engine/fast_backend_agenda.h"
#include "sim/engine/fast_backend_sharing.h"

namespace moesim {
namespace {

constexpr std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

enum class Mode : std::uint8_t {
  alone,    // nobody else touches its resources: the one event is the task's end
  latency,  // the event is the end of the current segment's latency
  serving,  // the event is the end of the current segment at the current pace
};

// A task between start and end.
struct Running {
  TaskId task = 0;
  Mode mode = Mode::alone;
  std::uint32_t segment = 0;  // within the program; alone: the one that begins at since_s
  std::uint32_t visit = 0;
  double since_s = 0.0;  // serving: when `left` was true
  double left = 0.0;     // serving: fraction of the segment
  double pace = 0.0;     // serving: segments per second, 0 until shared out
};

// How many running tasks have the resource in their program. The owner is the last to arrive.
struct Tenancy {
  double rate = 1.0;
  std::int32_t count = 0;
  std::int32_t owner_slot = 0;
  TaskId owner_task = 0;
};

// Live segments on the resource, and its place in the component that is being gathered.
struct Queue {
  std::vector<std::int32_t> slots;
  std::uint32_t visit = 0;
  std::uint32_t local = 0;
};

class FastRun {
 public:
  FastRun(const TaskGraph& graph, bool record_segments);
  RunResult run();

 private:
  void index_successors();
  void index_segment_ends();

  void start_ready();
  void start(TaskId id);
  bool occupy(std::int32_t slot);  // true if nobody else is there
  [[nodiscard]] bool is_alone(const Running& running) const;
  void finish(std::int32_t slot);

  void run_alone(std::int32_t slot);
  void leave_alone(std::int32_t slot);
  void record_ends_alone(const Running& running);
  void handle(std::int32_t slot);
  void begin_segment(std::int32_t slot);
  void begin_service(std::int32_t slot, double left, double pace);
  void end_service(std::int32_t slot);

  void share_out();
  void gather(std::int32_t resource);
  void visit_queue(std::int32_t resource);
  void share_component();
  void set_pace(std::int32_t slot, double pace);

  [[nodiscard]] const Task& task_of(const Running& running) const {
    return tasks_[at(running.task)];
  }
  [[nodiscard]] std::span<const Segment> segments_of(const Running& running) const {
    return graph_.segments(task_of(running).program);
  }
  [[nodiscard]] double service_alone_s(const Segment& segment, std::int32_t offset) const;
  void record_end(const Running& running, std::uint32_t segment, double end_s) {
    if (!first_end_.empty()) {
      result_.segment_ends_s[first_end_[at(running.task)] + segment] = end_s;
    }
  }

  const TaskGraph& graph_;
  std::span<const Task> tasks_;
  RunResult result_;
  double now_ = 0.0;

  std::vector<std::uint32_t> waiting_for_;  // predecessors that have not ended, by task
  std::vector<std::uint32_t> first_successor_;
  std::vector<TaskId> successors_;
  std::vector<std::size_t> first_end_;  // into segment_ends_s by task; empty if not recorded
  std::vector<TaskId> ready_;

  std::vector<Running> running_;  // by slot
  std::vector<std::int32_t> free_slots_;
  std::vector<Tenancy> tenancies_;  // by resource
  std::vector<Queue> queues_;       // by resource
  detail::Agenda agenda_;

  std::vector<std::int32_t> changed_;  // resources whose live segments changed since share_out()
  std::vector<std::int32_t> component_;
  std::uint32_t component_resources_ = 0;
  std::uint32_t visit_ = 0;
  detail::FairBottleneck sharing_;
};

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
  for (std::size_t i = 0; i < component_.size(); ++i) {
    const Running& running = running_[at(component_[i])];
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

class FastBackend final : public Backend {
 public:
  [[nodiscard]] RunResult run(const TaskGraph& graph, bool record_segments) const override {
    return FastRun(graph, record_segments).run();
  }
};

}  // namespace

std::unique_ptr<Backend> make_fast_backend() { return std::make_unique<FastBackend>(); }

}  // namespace moesim
