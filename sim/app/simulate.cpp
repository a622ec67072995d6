#include "sim/app/simulate.h"

#include "sim/app/crosscheck.h"
#include "sim/core/thread_pool.h"
#include "sim/engine/results/timeline.h"

namespace moesim {
namespace {

struct Ran {
  StepReport report;
  StepOutcome last;
};

Ran run_steps(Simulation& simulation, const SimulateOptions& options) {
  const std::unique_ptr<Backend> backend = make_backend(options.backend);
  const int count = simulation.scenario().run.steps;
  if (const std::string note = simulation.system().drawing_note();
      options.notice && !note.empty()) {
    options.notice(note);
  }
  std::vector<double> steps;
  Ran ran;
  for (int i = 0; i < count; ++i) {
    ran.last = simulation.run_step(i, *backend, options.timeline && i + 1 == count);
    steps.push_back(ran.last.result.makespan_s);
    if (options.progress && count > 1) {
      options.progress((i + 1.0) / count);
    }
  }
  ran.report = step_report(simulation, steps, ran.last);
  return ran;
}

}  // namespace

SimulateResult simulate(Scenario scenario, const Library& library, const SimulateOptions& options) {
  Simulation simulation(std::move(scenario), library, options.threads);
  Ran ran = run_steps(simulation, options);
  SimulateResult result;
  result.report = std::move(ran.report);
  result.scenario = simulation.scenario().effective;
  result.host = simulation.host();
  if (options.crosscheck) {
    result.crosscheck = crosscheck_run(ran.last.lowered.graph, ran.last.result, options.backend);
  }
  if (options.explain) {
    result.explanations = explain_laws(simulation.kernels(), ran.last.lowered);
  }
  if (options.timeline) {
    result.timeline =
        timeline_json(ran.last.lowered, ran.last.result, simulation.cluster().node.devices);
  }
  return result;
}

std::vector<StepReport> simulate_all(std::span<const Scenario> scenarios, const Library& library,
                                     int threads) {
  std::vector<StepReport> reports(scenarios.size());
  parallel_for(scenarios.size(), threads, [&](std::size_t i) {
    Simulation simulation(scenarios[i], library, 1);
    reports[i] = run_steps(simulation, {}).report;
  });
  return reports;
}

nlohmann::json to_json(const SimulateResult& result) {
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
