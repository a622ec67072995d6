// When the passes of a pipeline run, with given times of passes and sends and nothing else in the
// way: the ideal case that papers state bubbles for, an estimate for list schedules and bounds.
#pragma once

#include <vector>

#include "sim/core/units.h"
#include "sim/training/pipeline.h"

namespace moesim {

struct PartTimes {
  Seconds forward;
  Seconds input_grad;
  Seconds weight_grad;

  [[nodiscard]] Seconds backward() const { return input_grad + weight_grad; }
};

struct IdealPipeline {
  std::vector<PartTimes> parts;  // of the model's parts, in order; one: all alike
  Seconds send{};                // of activations or their gradients to another stage
  // What a forward and a backward take side by side, as a share of one after the other.
  double pair_share = 1.0;
};

struct PassSpan {
  Seconds start;
  Seconds end;
};

struct StageTimes {
  std::vector<PassSpan> passes;  // by action; of a pair: the same for both
  Seconds busy;                  // some pass runs

  // From its first pass to its last, without what it was busy.
  [[nodiscard]] Seconds idle_within() const {
    return passes.empty() ? Seconds(0) : passes.back().end - passes.front().start - busy;
  }
};

struct PipelineTimes {
  Seconds makespan;
  std::vector<StageTimes> stages;

  [[nodiscard]] Seconds bubble(int stage) const;  // the stage idles, start to end of all
};

// Runs the schedule as a task graph of sim/flow: a stream per stage, edges along the paths. Throws
// InvariantError for schedules that check_pipeline refuses, and where times of a part are missing.
PipelineTimes ideal_times(const PipelineSchedule& schedule, const IdealPipeline& ideal);

}  // namespace moesim
