// One training iteration, built and run.
#pragma once

#include <vector>

#include "sim/engine/simulation.h"
#include "sim/flow/backend.h"
#include "sim/training/iteration_graph.h"
#include "sim/training/stage_memory.h"
#include "sim/training/training_system.h"

namespace moesim {

struct TrainingRun {
  std::shared_ptr<const TrainingSystem> system;
  IterationGraph graph;
  RunResult result;
  std::vector<StageMemory> memory;  // by stage
  HostTimes host;
};

// `record_segments`: see Backend::run. Throws ConfigError.
TrainingRun run_training(TrainScenario scenario, const Library& library, const Backend& backend,
                         int threads, bool record_segments = false);

}  // namespace moesim
