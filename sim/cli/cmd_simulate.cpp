// moesim simulate: one or several steps of a scenario, or a training iteration.
#include <array>
#include <chrono>
#include <iostream>
#include <limits>

#include "sim/app/document_files.h"
#include "sim/app/megatron.h"
#include "sim/app/simulate.h"
#include "sim/app/simulate_training.h"
#include "sim/cli/command_line.h"
#include "sim/cli/step_table.h"
#include "sim/cli/training_table.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"

namespace moesim {
namespace {

struct Options {
  CommonOptions common;
  std::string scenario;
  std::string megatron;  // file of Megatron-LM arguments instead
  std::vector<std::string> overrides;
  std::string backend = "fast";
  std::string timeline;
  std::optional<std::int64_t> seed;
  bool crosscheck = false;
  bool explain = false;

  [[nodiscard]] const std::string& file() const { return megatron.empty() ? scenario : megatron; }
};

ScenarioDocument load_document(const Options& options) {
  ScenarioDocument document = options.megatron.empty()
                                  ? read_scenario_document(options.scenario, options.overrides)
                                  : megatron_document(options.megatron, options.overrides);
  if (options.seed) {
    document.json["seed"] = *options.seed;
  }
  return document;
}

// Says how far the backends are apart. Throws InvariantError when they disagree.
void print_crosscheck(const CrosscheckReport& difference) {
  std::cerr << "crosscheck: " << difference.backends[0] << " and " << difference.backends[1]
            << " differ by at most " << difference.max_relative << " (relative) or "
            << difference.max_absolute_s << " s at the end of any of " << difference.tasks
            << " tasks\n";
  ensure(difference.agree, "backends agree within 1e-9 relative or 2 ps");
}

SimulateOptions simulate_options(const Options& options) {
  return {.backend = options.backend == "fast" ? BackendKind::fast : BackendKind::simgrid,
          .crosscheck = options.crosscheck,
          .timeline = !options.timeline.empty(),
          .explain = options.explain,
          .threads = options.common.threads,
          .notice = [](const std::string& note) { print_warnings({note}); }};
}

void check_output(const Options& options, const nlohmann::json& effective) {
  check_outputs(std::array{NamedFile{"--timeline", options.timeline}},
                files_of_document(options.file(), effective));
}

// The report on stdout, what was found beside it on stderr and in files.
template <class Result>
void print_result(const Result& result, const Options& options, const CatalogFolders& folders,
                  std::chrono::steady_clock::time_point start,
                  std::string (*table)(const nlohmann::json&)) {
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
  std::cout << (options.common.json ? report.dump(2) + "\n" : table(report)) << std::flush;
  if (!options.timeline.empty()) {  // last: a full disk must not cost the report
    write_text_file(options.timeline, result.timeline);
    std::cerr << "timeline: " << options.timeline << " (open in ui.perfetto.dev)\n";
  }
}

int run(const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  const ScenarioDocument document = load_document(options);
  SimulateOptions how = simulate_options(options);
  if (is_training(document.json)) {
    TrainScenario scenario = parse_train_scenario(document, options.file());
    check_output(options, scenario.base.effective);
    const CatalogFolders folders = catalogs_of(options.common);
    const TrainingResult result = simulate_training(std::move(scenario), Library(folders), how);
    print_result(result, options, folders, start, training_table);
    return 0;
  }
  Scenario scenario = parse_scenario(document, options.file());
  check_output(options, scenario.effective);
  const CatalogFolders folders = catalogs_of(options.common);
  ProgressBar progress("simulating");
  how.progress = [&progress](double done) { progress.show(done); };
  const SimulateResult result = simulate(std::move(scenario), Library(folders), how);
  print_result(result, options, folders, start, step_table);
  return 0;
}

}  // namespace

void add_simulate_command(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand(
      "simulate", "time of a step or a training iteration of a model on a cluster");
  CLI::Option* scenario =
      sub->add_option("scenario", options->scenario, "scenario file")->type_name("FILE");
  sub->add_option("--from-megatron", options->megatron,
                  "instead of a scenario: Megatron-LM's arguments (script, words or YAML); the "
                  "hardware by --set")
      ->type_name("FILE")
      ->excludes(scenario);
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
      "  moesim simulate SCENARIO --set /workload/routing=my.moetrace --json > result.json\n"
      "  moesim simulate sim/scenarios/mixtral_8x7b_train_64_h100.json --timeline iteration.json\n"
      "  moesim simulate --from-megatron train.sh --set /hardware/cluster=h100-8x-ib400 \\\n"
      "                  --set /hardware/devices=8 --set /hardware/nodes=16");
  sub->callback([options, &command] {
    if (options->file().empty()) {
      throw CLI::RequiredError("scenario");
    }
    command.run = [options] { return run(*options); };
  });
}

}  // namespace moesim
