#include "sim/app/simulate.h"

#include "sim/core/thread_pool.h"
#include "sim/engine/results/timeline.h"
#include "sim/flow/crosscheck.h"
#include "sim/simgrid/simgrid_backend.h"

namespace moesim {
namespace {

std::unique_ptr<Backend> make_backend(BackendKind kind) {
  return kind == BackendKind::fast ? make_fast_backend() : make_simgrid_backend();
}

std::string_view name_of(BackendKind kind) {
  return kind == BackendKind::fast ? "fast" : "simgrid";
}

BackendKind other(BackendKind kind) {
  return kind == BackendKind::fast ? BackendKind::simgrid : BackendKind::fast;
}

CrosscheckReport crosscheck(const StepOutcome& step, BackendKind backend) {
  const RunResult again = make_backend(other(backend))->run(step.lowered.graph, false);
  const CrosscheckResult difference = compare_runs(step.result, again);
  return {.backends = {name_of(backend), name_of(other(backend))},
          .tasks = step.result.tasks.size(),
          .max_absolute_s = difference.largest_absolute_s,
          .max_relative = difference.largest_relative,
          .agree = difference.agrees};
}

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
    result.crosscheck = crosscheck(ran.last, options.backend);
  }
  if (options.explain) {
    result.explanations = explain_laws(simulation, ran.last.lowered);
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
    report["crosscheck"] = {{"backends", result.crosscheck->backends},
                            {"tasks", result.crosscheck->tasks},
                            {"max_absolute_s", result.crosscheck->max_absolute_s},
                            {"max_relative", result.crosscheck->max_relative},
                            {"agree", result.crosscheck->agree}};
  }
  if (result.explanations) {
    report["explain"] = explanations_json(*result.explanations);
  }
  return report;
}

}  // namespace moesim
