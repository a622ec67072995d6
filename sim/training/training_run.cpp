#include "sim/training/training_run.h"

#include <chrono>

namespace moesim {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TrainingRun run_training(TrainScenario scenario, const Library& library, const Backend& backend,
                         int threads, bool record_segments) {
  TrainingRun run;
  auto start = std::chrono::steady_clock::now();
  run.system = std::make_shared<const TrainingSystem>(std::move(scenario), library);
  const TrainingSystem& system = *run.system;
  run.memory = stage_memory({.model = system.model(),
                             .workload = system.workload(),
                             .parallelism = system.parallelism(),
                             .precision = system.precision(),
                             .parts = system.parts(),
                             .schedule = system.schedule()});
  run.host.load_s = seconds_since(start);
  start = std::chrono::steady_clock::now();
  run.graph = build_iteration(system, threads);
  run.result = backend.run(run.graph.step.graph, record_segments);
  run.host.engine_s = seconds_since(start);
  run.host.events = run.result.events;
  run.host.tasks = run.graph.step.graph.tasks().size();
  return run;
}

}  // namespace moesim
