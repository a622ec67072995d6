#include "sim/flow/dispatcher.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "sim/core/error.h"

namespace moesim::detail {

Dispatcher::Dispatcher(const TaskGraph& graph, EventCore::Options options, Recorder* recorder)
    : graph_(graph), core_(graph, options), recorder_(recorder) {
  take_in();
}

void Dispatcher::take_in() {
  core_.add_resources();
  executors_.resize(at(graph_.executor_count()));
  const std::size_t first = states_.size();
  const std::size_t count = graph_.tasks().size();
  if (first < count) {
    states_.resize(count);
    times_.resize(count);
    unfinished_ += count - first;
    if (first == 0) {
      edges_.reserve(graph_.edge_count());
    }
    for (std::size_t id = first; id < count; ++id) {
      admit(static_cast<TaskId>(id));
    }
  }
  for (; actions_ < graph_.actions().size(); ++actions_) {
    const TaskId cause = graph_.actions()[actions_].cause;
    states_[at(cause)].has_actions = true;
    actions_of_[cause].push_back(actions_);
  }
}

void Dispatcher::admit(TaskId id) {
  State& state = states_[at(id)];
  const Task& task = graph_.tasks()[at(id)];
  state.has_rules = task.rules >= 0;
  for (const TaskId before : graph_.predecessors(task)) {
    State& earlier = states_[at(before)];
    if (earlier.phase == Phase::ended) {
      continue;
    }
    ++state.count;
    const auto edge = static_cast<std::uint32_t>(edges_.size());
    edges_.push_back({.after = id});
    (earlier.first_edge == none ? earlier.first_edge : edges_[earlier.last_edge].next) = edge;
    earlier.last_edge = edge;
  }
  if (state.count == 0) {
    may_start(id);
  }
}

// Its predecessors have ended.
void Dispatcher::may_start(TaskId id) {
  State& state = states_[at(id)];
  if (state.cancelled) {
    end_unstarted(id);
  } else if (!state.has_rules) {
    state.phase = Phase::ready;
    ready_.push_back(id);
  } else if (const double date_s = rules_of(id).not_before_s; date_s > now_s()) {
    state.phase = Phase::dated;
    dates_.push({date_s, id});
  } else {
    enqueue(id);
  }
}

void Dispatcher::enqueue(TaskId id) {
  const ExecutorId executor = rules_of(id).executor;
  if (executor < 0) {
    states_[at(id)].phase = Phase::ready;
    ready_.push_back(id);
    return;
  }
  states_[at(id)].phase = Phase::queued;
  auto& queue = executors_[at(executor)].queue;
  queue.push_back(id);
  std::ranges::push_heap(queue, [this](TaskId a, TaskId b) { return runs_later(a, b); });
  touch(executor);
}

bool Dispatcher::runs_later(TaskId a, TaskId b) const {
  const std::int32_t first = rules_of(a).priority;
  const std::int32_t second = rules_of(b).priority;
  return first != second ? first < second : a > b;
}

void Dispatcher::touch(ExecutorId id) {
  if (!std::exchange(executors_[at(id)].is_touched, true)) {
    touched_.push_back(id);
  }
}

void Dispatcher::start_ready() {
  for (const TaskId id : ready_) {
    if (states_[at(id)].phase == Phase::ready) {  // not cancelled since
      start(id, -1);
    }
  }
  ready_.clear();
  for (const ExecutorId id : touched_) {
    Executor& executor = executors_[at(id)];
    executor.is_touched = false;
    if (executor.running < 0) {
      serve(executor);
    }
  }
  touched_.clear();
}

void Dispatcher::serve(Executor& executor) {
  auto& queue = executor.queue;
  while (!queue.empty() && executor.running < 0) {
    std::ranges::pop_heap(queue, [this](TaskId a, TaskId b) { return runs_later(a, b); });
    const TaskId id = queue.back();
    queue.pop_back();
    if (states_[at(id)].phase == Phase::queued) {
      start(id, executor.last);
      executor.running = id;
      executor.last = id;
    }
  }
}

void Dispatcher::start(TaskId id, TaskId after) {
  if (recorder_ != nullptr) {
    recorder_->started(id, after);
  }
  State& state = states_[at(id)];
  state.phase = Phase::running;
  times_[at(id)].start_s = now_s();
  state.count = core_.start(id);
}

bool Dispatcher::advance(double limit_s) {
  ended_.clear();
  if (!ready_.empty() || !touched_.empty()) {
    start_ready();
  }
  core_.share_out();
  while (!dates_.empty() && states_[at(dates_.top().task)].phase != Phase::dated) {
    dates_.pop();  // cancelled
  }
  const double next_s = std::min(core_.next_s(), next_date_s());
  if (next_s > limit_s || next_s == never_s) {
    if (limit_s < never_s) {
      core_.advance_to(std::max(now_s(), limit_s));
    }
    return false;
  }
  core_.advance_to(next_s);
  while (next_date_s() <= next_s) {
    const TaskId id = dates_.top().task;
    dates_.pop();
    if (states_[at(id)].phase == Phase::dated) {
      enqueue(id);
    }
  }
  for (const TaskId id : core_.ended()) {
    end(id);
  }
  settle(0);
  return true;
}

void Dispatcher::end(TaskId id) {
  State& state = states_[at(id)];
  state.phase = Phase::ended;
  times_[at(id)].end_s = now_s();
  --unfinished_;
  ended_.push_back(id);
  if (!state.has_rules) {
    return;
  }
  if (const ExecutorId executor = rules_of(id).executor;
      executor >= 0 && executors_[at(executor)].running == id) {
    executors_[at(executor)].running = -1;
    touch(executor);
  }
}

// A task that was cancelled while it waited.
void Dispatcher::end_unstarted(TaskId id) {
  if (recorder_ != nullptr) {
    recorder_->ended_unstarted(id);
  }
  times_[at(id)].start_s = now_s();
  end(id);
}

// What follows from the ends in ended_, from `first` on; more may end by it.
void Dispatcher::settle(std::size_t first) {
  for (std::size_t i = first; i < ended_.size(); ++i) {
    const TaskId id = ended_[i];
    for (std::uint32_t edge = states_[at(id)].first_edge; edge != none; edge = edges_[edge].next) {
      const TaskId after = edges_[edge].after;
      if (--states_[at(after)].count == 0) {
        may_start(after);
      }
    }
    if (states_[at(id)].has_actions) {
      act(id);
    }
  }
}

void Dispatcher::act(TaskId cause) {
  if (recorder_ != nullptr) {
    recorder_->decide(std::span(&cause, 1));
  }
  for (const std::uint32_t index : actions_of_.at(cause)) {
    const Action& action = graph_.actions()[index];
    if (action.kind == ActionKind::set_rate) {
      set_rate(action.target, action.rate);
    } else {
      cancel_task(action.target);
    }
  }
}

void Dispatcher::set_rate(std::int32_t resource, double rate) {
  if (recorder_ != nullptr) {
    recorder_->rate_set(resource, rate);
  }
  core_.set_rate(resource, rate);
}

void Dispatcher::cancel(TaskId id) {
  const std::size_t first = ended_.size();
  cancel_task(id);
  settle(first);
}

void Dispatcher::cancel_task(TaskId id) {
  State& state = states_[at(id)];
  if (state.phase == Phase::ended || state.cancelled) {
    return;
  }
  state.cancelled = true;
  if (recorder_ != nullptr) {
    recorder_->cancelled(id, state.phase == Phase::running);
  }
  if (state.phase == Phase::running) {
    core_.cancel(state.count);
    end(id);
  } else if (state.phase != Phase::waiting) {
    end_unstarted(id);
  }
}

RunResult Dispatcher::take_result() {
  RunResult result;
  result.tasks = std::move(times_);
  result.segment_ends_s = core_.take_segment_ends();
  result.makespan_s = now_s();
  result.events = core_.events();
  return result;
}

}  // namespace moesim::detail
