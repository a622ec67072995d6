#include "sim/flow/lookahead.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "sim/core/error.h"

namespace moesim::detail {
namespace {

// Conflicts after which not only the resources concerned but all of their kind count as shared, and
// after which events for all tasks are the better way.
constexpr int k_single_conflicts = 3;
constexpr int k_conflicts = 6;

}  // namespace

bool Lookahead::suits(const TaskGraph& graph) {
  return graph.executor_count() == 0 && graph.actions().empty() && !graph.has_holds() &&
         !graph.has_rules();
}

Lookahead::Lookahead(const TaskGraph& graph, bool record_segments)
    : graph_(graph), record_segments_(record_segments), uses_(graph.resources.size()) {
  for (std::size_t i = 0; i < uses_.size(); ++i) {
    uses_[i].rate = graph_.resources[i].rate;
    ensure(uses_[i].rate > 0 && std::isfinite(uses_[i].rate),
           "a resource's rate is positive and finite");
  }
  find_successors();
}

void Lookahead::find_successors() {
  const auto tasks = graph_.tasks();
  first_after_.assign(tasks.size() + 2, 0);
  for (const Task& task : tasks) {
    for (const TaskId before : graph_.predecessors(task)) {
      ++first_after_[at(before) + 2];
    }
  }
  for (std::size_t i = 2; i < first_after_.size(); ++i) {
    first_after_[i] += first_after_[i - 1];
  }
  after_.resize(graph_.edge_count());
  for (std::size_t id = 0; id < tasks.size(); ++id) {
    for (const TaskId before : graph_.predecessors(tasks[id])) {
      after_[first_after_[at(before) + 1]++] = static_cast<TaskId>(id);
    }
  }
}

std::optional<RunResult> Lookahead::run() {
  while (!attempt()) {
    if (++conflicts_ > k_conflicts || served_ > foreseen_) {
      return std::nullopt;
    }
  }
  if (ended_ != states_.size() || !std::isfinite(makespan_s_)) {
    return std::nullopt;  // something stands still, or takes for ever: not what this is for
  }
  return take_result();
}

// False after a conflict.
bool Lookahead::attempt() {
  const auto tasks = graph_.tasks();
  states_.assign(tasks.size(), {});
  times_.assign(tasks.size(), {});
  for (Use& use : uses_) {
    use.until = {};
  }
  ready_.clear();
  starts_ = {};
  core_.reset();
  served_ = 0;
  foreseen_ = 0;
  ended_ = 0;
  makespan_s_ = 0.0;
  for (std::size_t id = 0; id < tasks.size(); ++id) {
    states_[id].waits = static_cast<std::int32_t>(tasks[id].predecessor_count);
    if (states_[id].waits == 0) {
      ready_.push_back(static_cast<TaskId>(id));
    }
  }
  return place_ready() && serve();
}

bool Lookahead::place_ready() {
  for (std::size_t next = 0; next < ready_.size(); ++next) {  // ends() appends to it
    if (!place(ready_[next])) {
      return false;
    }
  }
  ready_.clear();
  return true;
}

bool Lookahead::place(TaskId id) {
  const Task& task = graph_.tasks()[at(id)];
  const auto touched = graph_.touched(task.program);
  State& state = states_[at(id)];
  const Instant start{times_[at(id)].start_s, state.round};
  bool unit_rates = true;
  bool free = true;
  for (const std::int32_t relative : touched) {
    ensure(static_cast<std::size_t>(std::int64_t{relative} + task.resource_offset) < uses_.size(),
           "a task's resources exist");
    const Use& use = use_of(task, relative);
    unit_rates = unit_rates && use.rate == 1.0;
    state.is_served = state.is_served || use.is_shared;
    free = free && (use.is_shared || start >= use.until);
  }
  if (!free) {
    note_conflict(task, start);
    return false;
  }
  if (state.is_served) {
    for (const std::int32_t relative : touched) {
      use_of(task, relative).until.time_s = never_s;
    }
    starts_.push({start, state.last, id});
    ++served_;
    return true;
  }
  const double end_s =
      start.time_s + (unit_rates ? graph_.unit_rate_duration_s(task.program) : length_s(task));
  const Instant end{end_s, end_s == start.time_s ? start.round + 1 : 0};
  for (const std::int32_t relative : touched) {
    use_of(task, relative).until = end;
  }
  ++foreseen_;
  ends(id, end);
  return true;
}

void Lookahead::ends(TaskId id, Instant when) {
  ++ended_;
  times_[at(id)].end_s = when.time_s;
  makespan_s_ = std::max(makespan_s_, when.time_s);
  for (std::uint32_t i = first_after_[at(id)]; i < first_after_[at(id) + 1]; ++i) {
    const auto after = at(after_[i]);
    State& state = states_[after];
    const Instant latest{times_[after].start_s, state.round};
    if (latest < when || (latest == when && state.last < id)) {
      times_[after].start_s = when.time_s;
      state.round = when.round;
      state.last = id;
    }
    if (--state.waits == 0) {
      ready_.push_back(after_[i]);
    }
  }
}

// How long it takes alone: summed as the event core sums a run.
double Lookahead::length_s(const Task& task) const {
  double length = 0.0;
  for (const Segment& segment : graph_.segments(task.program)) {
    length += segment.latency_s;
    length += service_s(task, segment);
  }
  return length;
}

double Lookahead::service_s(const Task& task, const Segment& segment) const {
  double longest = 0.0;
  for (const Need& need : graph_.needs(segment)) {
    longest = std::max(longest, need.amount / uses_[at(need.resource + task.resource_offset)].rate);
  }
  return longest;
}

// Others use some of its resources when it starts.
void Lookahead::note_conflict(const Task& task, Instant start) {
  std::array<bool, 3> kinds{};
  for (const std::int32_t relative : graph_.touched(task.program)) {
    Use& use = use_of(task, relative);
    if (start < use.until) {
      use.is_shared = true;
      kinds.at(static_cast<std::size_t>(
          graph_.resources[at(relative + task.resource_offset)].kind)) = true;
    }
  }
  for (std::size_t i = 0; conflicts_ >= k_single_conflicts && i < uses_.size(); ++i) {
    uses_[i].is_shared =
        uses_[i].is_shared || kinds.at(static_cast<std::size_t>(graph_.resources[i].kind));
  }
}

// Runs the tasks that meet others, in the order and in the rounds in which the dispatcher would.
bool Lookahead::serve() {
  Instant now;
  while (!starts_.empty() || (core_ && core_->next_s() < never_s)) {
    const double next_s = core_ ? core_->next_s() : never_s;
    const Instant next{next_s, next_s == now.time_s ? now.round + 1 : 0};
    if (next_s < never_s && (starts_.empty() || next <= starts_.top().when)) {
      now = next;
      core_->advance_to(now.time_s);
      for (const TaskId id : core_->ended()) {
        const Task& task = graph_.tasks()[at(id)];
        for (const std::int32_t relative : graph_.touched(task.program)) {
          use_of(task, relative).until = now;
        }
        ends(id, now);
      }
      if (!place_ready()) {
        return false;
      }
    } else {
      now = starts_.top().when;
    }
    start_served(now);
  }
  return true;
}

void Lookahead::start_served(Instant when) {
  if (!core_) {
    core_.emplace(graph_, EventCore::Options{.record_segments = record_segments_});
  }
  if (core_->now_s() < when.time_s) {
    core_->advance_to(when.time_s);
  }
  while (!starts_.empty() && starts_.top().when == when) {
    const TaskId id = starts_.top().task;
    starts_.pop();
    core_->start(id);
  }
  core_->share_out();
}

RunResult Lookahead::take_result() {
  RunResult result;
  result.makespan_s = makespan_s_;
  result.events = 2 * foreseen_ + (core_ ? core_->events() : 0);
  if (record_segments_) {
    if (core_) {
      result.segment_ends_s = core_->take_segment_ends();
    }
    record_foreseen(result.segment_ends_s);
  }
  result.tasks = std::move(times_);
  return result;
}

void Lookahead::record_foreseen(std::vector<double>& segment_ends_s) const {
  std::size_t first = 0;
  for (std::size_t id = 0; id < states_.size(); ++id) {
    const Task& task = graph_.tasks()[id];
    const auto segments = graph_.segments(task.program);
    segment_ends_s.resize(std::max(segment_ends_s.size(), first + segments.size()));
    double length = 0.0;
    for (std::size_t i = 0; i < segments.size() && !states_[id].is_served; ++i) {
      length += segments[i].latency_s;
      length += service_s(task, segments[i]);
      segment_ends_s[first + i] = times_[id].start_s + length;
    }
    first += segments.size();
  }
}

}  // namespace moesim::detail
