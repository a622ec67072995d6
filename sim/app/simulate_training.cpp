#include "sim/app/simulate_training.h"

#include "sim/app/crosscheck.h"
#include "sim/training/training_timeline.h"

namespace moesim {

TrainingResult simulate_training(TrainScenario scenario, const Library& library,
                                 const SimulateOptions& options) {
  const TrainingRun run = run_training(std::move(scenario), library, *make_backend(options.backend),
                                       options.threads, options.timeline);
  TrainingResult result;
  result.report = training_report(run);
  result.scenario = run.system->scenario().base.effective;
  result.host = run.host;
  if (options.crosscheck) {
    result.crosscheck = crosscheck_run(run.graph.step.graph, run.result, options.backend);
  }
  if (options.explain) {
    result.explanations = explain_laws(run.system->kernels(), run.graph.step);
  }
  if (options.timeline) {
    result.timeline = training_timeline(run);
  }
  return result;
}

nlohmann::json to_json(const TrainingResult& result) {
  nlohmann::json report = to_json(result.report, result.scenario);
  if (result.crosscheck) {
    report["crosscheck"] = to_json(*result.crosscheck);
  }
  if (result.explanations) {
    report["explain"] = explanations_json(*result.explanations);
  }
  return report;
}

}  // namespace moesim
