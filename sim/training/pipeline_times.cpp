#include "sim/training/pipeline_times.h"

#include "sim/core/error.h"
#include "sim/core/index.h"
#include "sim/flow/backend.h"

namespace moesim {
namespace {

double pass_s(Pass pass, const PartTimes& times) {
  switch (pass) {
    case Pass::forward:
      return times.forward.si();
    case Pass::backward:
      return times.backward().si();
    case Pass::input_grad:
      return times.input_grad.si();
    case Pass::weight_grad:
      return times.weight_grad.si();
  }
  return 0.0;
}

class IdealGraph {
 public:
  IdealGraph(const PipelineSchedule& schedule, const IdealPipeline& ideal)
      : schedule_(schedule), ideal_(ideal), sources_(pass_sources(schedule)) {
    for (const auto& order : schedule.actions) {
      task_.emplace_back(order.size(), -1);
    }
    for (const ActionPlace& place : pipeline_order(schedule, sources_)) {
      if (task_[at(place.stage)][at(place.index)] < 0) {
        add(place);
      }
    }
  }

  [[nodiscard]] PipelineTimes run() const {
    const RunResult result = make_fast_backend()->run(graph_, false);
    PipelineTimes times;
    times.makespan = Seconds(result.makespan_s);
    for (const auto& stage_tasks : task_) {
      StageTimes stage;
      TaskId before = -1;
      for (const TaskId id : stage_tasks) {
        const TaskTimes& task = result.tasks[at(id)];
        stage.passes.push_back({.start = Seconds(task.start_s), .end = Seconds(task.end_s)});
        if (id != before) {
          stage.busy += Seconds(duration_s_[at(id)]);
        }
        before = id;
      }
      times.stages.push_back(std::move(stage));
    }
    return times;
  }

 private:
  [[nodiscard]] double seconds_of(ActionPlace place) const {
    const PipelineAction& action = schedule_.actions[at(place.stage)][at(place.index)];
    const auto part = at(schedule_.part[at(place.stage)][at(action.chunk)]);
    ensure(ideal_.parts.size() == 1 || part < ideal_.parts.size(), "every part has its times");
    return pass_s(action.pass, ideal_.parts[ideal_.parts.size() == 1 ? 0 : part]);
  }
  TaskId add_timed(double seconds, StreamId stream, const std::vector<TaskId>& after,
                   bool in_order) {
    const ProgramId program = graph_.begin_program();
    graph_.add_segment(seconds, {});
    duration_s_.push_back(seconds);
    const Task task{.program = program, .stream = stream};
    return in_order ? graph_.add_task_in_order(task, after) : graph_.add_task(task, after);
  }
  void wait_for_source(ActionPlace place, std::vector<TaskId>& after) {
    const auto& source = sources_[at(place.stage)][at(place.index)];
    if (!source) {
      return;
    }
    const TaskId made = task_[at(source->place.stage)][at(source->place.index)];
    if (source->crosses && ideal_.send.si() > 0) {
      // Sends of one stage do not wait for each other.
      after.push_back(add_timed(ideal_.send.si(), schedule_.stages(), {made}, false));
    } else {
      after.push_back(made);
    }
  }
  void add(ActionPlace place) {
    const bool pair = schedule_.actions[at(place.stage)][at(place.index)].beside_next;
    std::vector<TaskId> after;
    wait_for_source(place, after);
    double seconds = seconds_of(place);
    const ActionPlace other{.stage = place.stage, .index = place.index + 1};
    if (pair) {
      wait_for_source(other, after);
      seconds = (seconds + seconds_of(other)) * ideal_.pair_share;
    }
    const TaskId task = add_timed(seconds, place.stage, after, true);
    task_[at(place.stage)][at(place.index)] = task;
    if (pair) {
      task_[at(other.stage)][at(other.index)] = task;
    }
  }

  const PipelineSchedule& schedule_;
  const IdealPipeline& ideal_;
  PassSources sources_;
  TaskGraph graph_;
  std::vector<std::vector<TaskId>> task_;  // [stage][action]
  std::vector<double> duration_s_;         // by task
};

}  // namespace

Seconds PipelineTimes::bubble(int stage) const { return makespan - stages[at(stage)].busy; }

PipelineTimes ideal_times(const PipelineSchedule& schedule, const IdealPipeline& ideal) {
  check_pipeline(schedule);
  return IdealGraph(schedule, ideal).run();
}

}  // namespace moesim
