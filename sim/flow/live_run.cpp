#include "sim/flow/live_run.h"

#include "sim/core/error.h"
#include "sim/flow/dispatcher.h"

namespace moesim {

using Phase = detail::Dispatcher::Phase;

struct LiveRun::State {
  State(Recording recording, Merging merging)
      : is_recorded(recording == Recording::on),
        dispatcher(graph, {.merge = merging == Merging::on}, is_recorded ? &recorder : nullptr) {}

  void check(TaskId id) const {
    ensure(id >= 0 && detail::at(id) < graph.tasks().size(), "a task that is asked for exists");
  }
  [[nodiscard]] Phase phase(TaskId id) const {
    check(id);
    return dispatcher.phase(id);
  }

  TaskId take_in(TaskId id) {
    if (is_recorded) {
      recorder.submitted(id);
    }
    dispatcher.take_in();
    return id;
  }

  bool is_recorded;
  TaskGraph graph;
  detail::Recorder recorder;
  detail::Dispatcher dispatcher;
  std::size_t told = 0;  // of dispatcher.ended()
};

LiveRun::LiveRun(Recording recording, Merging merging)
    : state_(std::make_unique<State>(recording, merging)) {}
LiveRun::~LiveRun() = default;
LiveRun::LiveRun(LiveRun&&) noexcept = default;
LiveRun& LiveRun::operator=(LiveRun&&) noexcept = default;

std::int32_t LiveRun::add_resource(const Resource& resource) {
  state_->graph.resources.push_back(resource);
  state_->dispatcher.take_in();
  return static_cast<std::int32_t>(state_->graph.resources.size() - 1);
}

ExecutorId LiveRun::add_executor() { return state_->graph.add_executor(); }

ProgramId LiveRun::begin_program() { return state_->graph.begin_program(); }

void LiveRun::add_segment(double latency_s, std::span<const Need> needs) {
  state_->graph.add_segment(latency_s, needs);
}

void LiveRun::add_hold(Hold hold) { state_->graph.add_hold(hold); }

TaskId LiveRun::submit(const Task& task, std::span<const TaskId> predecessors, const Rules& rules) {
  return state_->take_in(state_->graph.add_task(task, predecessors, rules));
}

TaskId LiveRun::submit_in_order(const Task& task, std::span<const TaskId> predecessors,
                                const Rules& rules) {
  return state_->take_in(state_->graph.add_task_in_order(task, predecessors, rules));
}

void LiveRun::cancel(TaskId id) {
  state_->check(id);
  state_->dispatcher.cancel(id);
}

void LiveRun::set_rate(std::int32_t resource, double rate) {
  state_->dispatcher.set_rate(resource, rate);
}

std::span<const TaskId> LiveRun::advance(double until_s) {
  State& state = *state_;
  // Cancellations since the last call are told first, at their own instant.
  auto fresh = state.dispatcher.ended().subspan(state.told);
  if (fresh.empty()) {
    while (state.dispatcher.advance(until_s) && state.dispatcher.ended().empty()) {
    }
    fresh = state.dispatcher.ended();
    ensure(!fresh.empty() || until_s < detail::never_s || state.dispatcher.unfinished() == 0,
           "without a date time goes on until a task ends, so not all may stand still");
    if (state.is_recorded) {
      if (!fresh.empty()) {
        state.recorder.decide(fresh);
      } else if (until_s < detail::never_s) {
        state.recorder.decide_at(state.dispatcher.now_s());
      }
    }
  }
  state.told = state.dispatcher.ended().size();
  return fresh;
}

double LiveRun::now_s() const { return state_->dispatcher.now_s(); }

bool LiveRun::has_started(TaskId id) const {
  const Phase phase = state_->phase(id);
  return phase == Phase::running || phase == Phase::ended;
}

bool LiveRun::has_ended(TaskId id) const { return state_->phase(id) == Phase::ended; }

bool LiveRun::is_cancelled(TaskId id) const {
  state_->check(id);
  return state_->dispatcher.is_cancelled(id);
}

std::size_t LiveRun::unfinished() const { return state_->dispatcher.unfinished(); }

TaskTimes LiveRun::times(TaskId id) const {
  state_->check(id);
  return state_->dispatcher.times(id);
}

LiveRun::Progress LiveRun::progress(TaskId id) const {
  ensure(state_->phase(id) == Phase::running, "a task whose progress is asked for runs");
  const auto progress = state_->dispatcher.progress(id);
  return {progress.segment, progress.latency_left_s, progress.service_left};
}

const TaskGraph& LiveRun::graph() const { return state_->graph; }

Record LiveRun::record() const {
  ensure(state_->is_recorded, "a run that is asked for its record was recorded");
  return state_->recorder.record(state_->graph);
}

}  // namespace moesim
