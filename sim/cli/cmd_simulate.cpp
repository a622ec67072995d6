// moesim simulate: one or several steps of a scenario.
#include <array>
#include <chrono>
#include <iostream>
#include <limits>
#include <numeric>

#include "sim/cli/command_files.h"
#include "sim/cli/command_line.h"
#include "sim/cli/step_table.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/flow/crosscheck.h"
#include "sim/engine/simulation.h"
#include "sim/engine/timeline.h"
#include "sim/simgrid/simgrid_backend.h"

namespace moesim {
namespace {

struct Options {
  CommonOptions common;
  std::string scenario;
  std::vector<std::string> overrides;
  std::string backend = "fast";
  std::string timeline;
  std::optional<std::int64_t> seed;
  bool crosscheck = false;
};

Scenario load_scenario(const Options& options) {
  nlohmann::json document = read_json_file(options.scenario);
  for (const std::string& assignment : options.overrides) {
    apply_override(document, assignment);
  }
  if (options.seed) {
    document["seed"] = *options.seed;
  }
  return parse_scenario(document, options.scenario);
}

std::unique_ptr<Backend> make_backend(const std::string& name) {
  return name == "fast" ? make_fast_backend() : make_simgrid_backend();
}

// Runs the other backend on the same graph and adds the largest difference to the report. Throws
// InvariantError when the two disagree.
void crosscheck(const Options& options, const StepOutcome& step, nlohmann::json& report) {
  const std::string other = options.backend == "fast" ? "simgrid" : "fast";
  const RunResult again = make_backend(other)->run(step.lowered.graph, false);
  const CrosscheckResult difference = compare_runs(step.result, again);
  report["crosscheck"] = {{"backends", {options.backend, other}},
                          {"tasks", step.result.tasks.size()},
                          {"max_absolute_s", difference.largest_absolute_s},
                          {"max_relative", difference.largest_relative},
                          {"agree", difference.agrees}};
  std::cerr << "crosscheck: " << options.backend << " and " << other << " differ by at most "
            << difference.largest_relative << " (relative) or " << difference.largest_absolute_s
            << " s at the end of any of " << step.result.tasks.size() << " tasks\n";
  ensure(difference.agrees, "backends agree within 1e-9 relative or 2 ps");
}

int simulate(const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  Scenario scenario = load_scenario(options);
  check_outputs(std::array{NamedFile{"--timeline", options.timeline}},
                files_of_document(options.scenario, scenario.effective));
  const CatalogFolders folders = catalog_folders(options.common.catalog);
  const Library library(folders);
  Simulation simulation(std::move(scenario), library, options.common.threads);
  const std::unique_ptr<Backend> backend = make_backend(options.backend);
  const int count = simulation.scenario().run.steps;
  std::vector<double> steps;
  StepOutcome last;
  {
    ProgressBar progress("simulating");
    for (int i = 0; i < count; ++i) {
      const bool wanted = i + 1 == count && !options.timeline.empty();
      last = simulation.run_step(i, *backend, wanted);
      steps.push_back(last.result.makespan_s);
      if (count > 1) {
        progress.show((i + 1.0) / count);
      }
    }
  }
  nlohmann::json report = make_report(simulation, steps, last);
  if (const auto preferred = preferred_files(folders); !preferred.empty()) {
    report["provenance"]["preferred_files"] = preferred;
  }
  if (options.crosscheck) {
    crosscheck(options, last, report);
  }
  if (!options.timeline.empty()) {
    write_text_file(options.timeline,
                    timeline_json(last.lowered, last.result, simulation.cluster().node.devices));
    std::cerr << "timeline: " << options.timeline << " (open in ui.perfetto.dev)\n";
  }
  const double wall_s =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report["host"] = host_report(simulation.host(), wall_s);
  std::cout << (options.common.json ? report.dump(2) + "\n" : step_table(report));
  return 0;
}

}  // namespace

void add_simulate_command(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("simulate", "step time of a model on a cluster");
  sub->add_option("scenario", options->scenario, "scenario file")->required()->type_name("FILE");
  sub->add_option("--set", options->overrides, "override a field: /json/pointer=value")
      ->type_name("POINTER=VALUE");
  sub->add_option("--backend", options->backend, "what runs the task graph")
      ->check(CLI::IsMember({"fast", "simgrid"}))
      ->capture_default_str();
  sub->add_flag("--crosscheck", options->crosscheck, "run both backends and compare every task");
  sub->add_option("--timeline", options->timeline, "write a Chrome/Perfetto trace")
      ->type_name("FILE");
  sub->add_option("--seed", options->seed, "override the scenario's seed")
      ->check(CLI::Range(std::int64_t{0}, std::numeric_limits<std::int64_t>::max()));
  options->common.add_json(*sub);
  options->common.add_catalog(*sub);
  options->common.add_threads(*sub);
  sub->footer(
      "Examples:\n"
      "  moesim simulate sim/scenarios/deepseek_v3_decode_ep32_h800.json --timeline step.json\n"
      "  moesim simulate SCENARIO --set /hardware/nodes=8 --set /parallelism/attention/dp=64 \\\n"
      "                           --set /parallelism/experts/ep=64\n"
      "  moesim simulate SCENARIO --set /workload/routing=my.moetrace --json > result.json");
  sub->callback([options, &command] { command.run = [options] { return simulate(*options); }; });
}

}  // namespace moesim
