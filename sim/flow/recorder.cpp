#include "sim/flow/recorder.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/flow/event_core.h"

namespace moesim::detail {
namespace {

void set_at(std::vector<std::int32_t>& values, TaskId id, std::int32_t value) {
  if (at(id) >= values.size()) {
    values.resize(at(id) + 1, -1);
  }
  values[at(id)] = value;
}

std::int32_t get_at(const std::vector<std::int32_t>& values, TaskId id) {
  return at(id) < values.size() ? values[at(id)] : -1;
}

}  // namespace

void Recorder::decide(std::span<const TaskId> causes) {
  next_causes_.assign(causes.begin(), causes.end());
  next_date_s_ = 0.0;
  is_noted_ = false;
}

void Recorder::decide_at(double date_s) {
  next_causes_.clear();
  next_date_s_ = date_s;
  is_noted_ = false;
}

void Recorder::note_decision() {
  if (is_noted_) {
    return;
  }
  const auto first = static_cast<std::int32_t>(causes_.size());
  causes_.insert(causes_.end(), next_causes_.begin(), next_causes_.end());
  notes_.push_back(
      {Kind::decision, first, static_cast<std::int32_t>(causes_.size()), next_date_s_});
  ++decisions_;
  is_noted_ = true;
}

void Recorder::submitted(TaskId id) {
  if (next_causes_.empty() && next_date_s_ == 0.0) {
    return;  // at the start
  }
  note_decision();
  set_at(decision_of_, id, decisions_ - 1);
}

void Recorder::rate_set(std::int32_t resource, double rate) {
  note_decision();
  notes_.push_back({Kind::rate, resource, 0, rate});
}

void Recorder::cancelled(TaskId id, bool was_running) {
  note_decision();
  if (was_running) {
    notes_.push_back({Kind::cancel, id, 0, 0.0});
  } else {
    set_at(cancel_of_, id, decisions_ - 1);
  }
}

void Recorder::started(TaskId id, TaskId after) { notes_.push_back({Kind::start, id, after, 0.0}); }

void Recorder::ended_unstarted(TaskId id) { notes_.push_back({Kind::no_start, id, -1, 0.0}); }

class Recorder::Builder {
 public:
  Builder(const Recorder& recorder, const TaskGraph& run) : recorder_(recorder), run_(run) {
    made_.graph.resources = run.resources;
    made_.ids.assign(run.tasks().size(), -1);
    for (std::size_t i = 0; i < run.program_count(); ++i) {
      const auto program = static_cast<ProgramId>(i);
      made_.graph.begin_program();
      for (const Segment& segment : run.segments(program)) {
        made_.graph.add_segment(segment.latency_s, run.needs(segment));
      }
      for (const Hold& hold : run.holds(program)) {
        made_.graph.add_hold(hold);
      }
    }
    no_work_ = made_.graph.begin_program();
    for (const std::string& label : run.labels()) {
      made_.graph.label(label);
    }
  }

  Record build() {
    for (const Note& note : recorder_.notes_) {
      switch (note.kind) {
        case Kind::decision:
          add_decision(note);
          break;
        case Kind::rate:
          made_.graph.set_rate_after(decisions_.back(), note.id, note.value);
          break;
        case Kind::cancel:
          made_.graph.cancel_after(decisions_.back(), made_.ids[at(note.id)]);
          break;
        case Kind::start:
        case Kind::no_start:
          add_task(note);
          break;
      }
    }
    ensure(std::ranges::find(made_.ids, -1) == made_.ids.end(), "a recorded run has ended");
    return std::move(made_);
  }

 private:
  void add_decision(const Note& note) {
    before_.clear();
    for (std::int32_t i = note.id; i < note.other; ++i) {
      before_.push_back(made_.ids[at(recorder_.causes_[at(i)])]);
    }
    if (!decisions_.empty()) {
      before_.push_back(decisions_.back());
    }
    decisions_.push_back(
        made_.graph.add_task({.program = no_work_}, before_, {.not_before_s = note.value}));
  }

  void add_task(const Note& note) {
    Task task = run_.tasks()[at(note.id)];
    Rules rules{.not_before_s = run_.rules(task).not_before_s};
    before_.clear();
    for (const TaskId id : run_.predecessors(task)) {
      before_.push_back(made_.ids[at(id)]);
    }
    add_decision_before(recorder_.decision_of_, note.id);
    if (note.kind == Kind::no_start) {
      task.program = no_work_;
      rules.not_before_s = 0.0;
      add_decision_before(recorder_.cancel_of_, note.id);
    } else if (note.other >= 0) {
      before_.push_back(made_.ids[at(note.other)]);
    }
    std::ranges::sort(before_);
    before_.erase(std::ranges::unique(before_).begin(), before_.end());
    made_.ids[at(note.id)] = made_.graph.add_task(task, before_, rules);
  }

  void add_decision_before(const std::vector<std::int32_t>& decision_of, TaskId id) {
    if (const std::int32_t decision = get_at(decision_of, id); decision >= 0) {
      before_.push_back(decisions_[at(decision)]);
    }
  }

  const Recorder& recorder_;
  const TaskGraph& run_;
  Record made_;
  ProgramId no_work_ = 0;
  std::vector<TaskId> decisions_;  // tasks of the record
  std::vector<TaskId> before_;
};

Record Recorder::record(const TaskGraph& graph) const { return Builder(*this, graph).build(); }

}  // namespace moesim::detail
