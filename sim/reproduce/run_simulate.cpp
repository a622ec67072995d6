#include <nlohmann/json.hpp>

#include "sim/engine/results/step_report.h"
#include "sim/engine/simulation.h"
#include "sim/reproduce/run_kinds.h"
#include "sim/training/iteration_report.h"

namespace moesim {
namespace {

RunReport run_iteration(const ScenarioDocument& document, const std::string& name,
                        const Library& library) {
  const TrainingRun run =
      run_training(parse_train_scenario(document, name), library, *make_fast_backend(), 1);
  const nlohmann::json& effective = run.system->scenario().base.effective;
  return {std::make_shared<const nlohmann::json>(to_json(training_report(run), effective)),
          run.system->scenario().base.warnings};
}

}  // namespace

RunReport run_simulate(const ScenarioDocument& document, const std::string& name,
                       const Library& library) {
  if (is_training(document.json)) {
    return run_iteration(document, name, library);
  }
  Simulation simulation(parse_scenario(document, name), library, 1);
  const auto backend = make_fast_backend();
  std::vector<double> steps;
  StepOutcome last;
  for (int i = 0; i < simulation.scenario().run.steps; ++i) {
    last = simulation.run_step(i, *backend, false);
    steps.push_back(last.result.makespan_s);
  }
  return {std::make_shared<const nlohmann::json>(
              to_json(step_report(simulation, steps, last), simulation.scenario().effective)),
          simulation.scenario().warnings};
}

}  // namespace moesim
