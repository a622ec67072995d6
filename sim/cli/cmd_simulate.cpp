// moesim simulate: one or several steps of a scenario.
#include <array>
#include <chrono>
#include <iostream>
#include <limits>

#include "sim/app/document_files.h"
#include "sim/app/simulate.h"
#include "sim/cli/command_line.h"
#include "sim/cli/step_table.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"

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
  bool explain = false;
};

Scenario load_scenario(const Options& options) {
  ScenarioDocument document = read_scenario_document(options.scenario, options.overrides);
  if (options.seed) {
    document.json["seed"] = *options.seed;
  }
  return parse_scenario(document, options.scenario);
}

// Says how far the backends are apart. Throws InvariantError when they disagree.
void print_crosscheck(const CrosscheckReport& difference) {
  std::cerr << "crosscheck: " << difference.backends[0] << " and " << difference.backends[1]
            << " differ by at most " << difference.max_relative << " (relative) or "
            << difference.max_absolute_s << " s at the end of any of " << difference.tasks
            << " tasks\n";
  ensure(difference.agree, "backends agree within 1e-9 relative or 2 ps");
}

int run(const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  Scenario scenario = load_scenario(options);
  check_outputs(std::array{NamedFile{"--timeline", options.timeline}},
                files_of_document(options.scenario, scenario.effective));
  const CatalogFolders folders = catalogs_of(options.common);
  ProgressBar progress("simulating");
  const SimulateResult result =
      simulate(std::move(scenario), Library(folders),
               {.backend = options.backend == "fast" ? BackendKind::fast : BackendKind::simgrid,
                .crosscheck = options.crosscheck,
                .timeline = !options.timeline.empty(),
                .explain = options.explain,
                .threads = options.common.threads,
                .progress = [&progress](double done) { progress.show(done); },
                .notice = [](const std::string& note) { print_warnings({note}); }});
  if (result.crosscheck) {
    print_crosscheck(*result.crosscheck);
  }
  nlohmann::json report = to_json(result);
  if (const auto preferred = preferred_files(folders); !preferred.empty()) {
    report["provenance"]["preferred_files"] = preferred;
  }
  const double wall_s =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report["host"] = host_report(result.host, wall_s);
  std::cout << (options.common.json ? report.dump(2) + "\n" : step_table(report)) << std::flush;
  if (!options.timeline.empty()) {  // last: a full disk must not cost the report
    write_text_file(options.timeline, result.timeline);
    std::cerr << "timeline: " << options.timeline << " (open in ui.perfetto.dev)\n";
  }
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
  sub->add_flag("--explain", options->explain,
                "which kernel law answered for each operation, the runners-up, and why");
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
      "  moesim simulate SCENARIO --set /policy/overlap=two_batch\n"
      "  moesim simulate SCENARIO --set /run/routing=expected\n"
      "  moesim simulate SCENARIO --set /workload/routing=my.moetrace --json > result.json");
  sub->callback([options, &command] { command.run = [options] { return run(*options); }; });
}

}  // namespace moesim
