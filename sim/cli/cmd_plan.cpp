// moesim plan: the fastest layout of a training iteration.
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "sim/app/plan.h"
#include "sim/cli/command_line.h"
#include "sim/cli/plan_table.h"

namespace moesim {
namespace {

struct Options {
  CommonOptions common;
  std::string scenario;
  std::vector<std::string> overrides;
};

int run(const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  const ScenarioDocument document = read_scenario_document(options.scenario, options.overrides);
  const CatalogFolders folders = catalogs_of(options.common);
  ProgressBar progress("planning");
  const TrainPlan result = plan(document, options.scenario, Library(folders),
                                {.threads = options.common.threads,
                                 .progress = [&progress](double done) { progress.show(done); }});
  nlohmann::json report = to_json(result);
  const double wall_s =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report["host"] = {{"wall_s", wall_s}};
  std::cout << (options.common.json ? report.dump(2) + "\n" : plan_text(report)) << std::flush;
  return 0;
}

}  // namespace

void add_plan_command(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = app.add_subcommand("plan", "the fastest layout of a training iteration");
  sub->add_option("scenario", options->scenario, "scenario with workload.kind train")
      ->required()
      ->type_name("FILE");
  sub->add_option("--set", options->overrides, "override a field: /json/pointer=value")
      ->type_name("POINTER=VALUE");
  options->common.add_json(*sub);
  options->common.add_catalog(*sub);
  options->common.add_threads(*sub);
  sub->footer(
      "The scenario's devices stay; its layout (parallelism, micro_batch, recompute, zero,\n"
      "pipeline) is searched for. Its `search` limits what is tried (sim/plan/README.md).\n"
      "Examples:\n"
      "  moesim plan sim/scenarios/mixtral_8x7b_train_64_h100.json\n"
      "  moesim plan SCENARIO --set '/search={\"tp\": [1, 2], \"recompute\": [\"none\"]}' --json");
  sub->callback([options, &command] { command.run = [options] { return run(*options); }; });
}

}  // namespace moesim
