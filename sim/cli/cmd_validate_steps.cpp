// moesim validate steps: whole decode steps against measured ones.
#include <iostream>
#include <nlohmann/json.hpp>

#include "sim/app/validate_steps.h"
#include "sim/cli/command_line.h"

namespace moesim {
namespace {

struct Options {
  CommonOptions common;
  ValidateStepsOptions task;
};

void print(const ValidateStepsResult& result) {
  Table table({"group", "rows", "median", "p90", "mean signed", "naive median", "inside p10-p90"});
  for (const auto* groups : {&result.groups, &result.pooled}) {
    for (const StepGroup& group : *groups) {
      table.row({group.name, std::to_string(group.n), percent(group.median_ape),
                 percent(group.p90_ape), percent(group.mean_signed_error),
                 percent(group.naive_median_ape), percent(group.coverage_80)});
    }
  }
  std::cout << table.text() << result.judged() << " rows judged\n";
  for (const auto& [reason, rows] : result.skipped) {
    std::cout << "skipped " << rows << " rows: " << reason << "\n";
  }
}

int validate(const Options& options) {
  ValidateStepsResult result;
  {
    ProgressBar progress("simulating");
    ValidateStepsOptions task = options.task;
    task.catalogs = catalogs_of(options.common);
    task.threads = options.common.threads;
    task.progress = [&progress](double share) { progress.show(share); };
    result = validate_steps(task);
  }
  if (options.common.json) {
    std::cout << to_json(result).dump(1) << "\n";
  } else {
    print(result);
  }
  return 0;
}

}  // namespace

void add_validate_steps_command(CLI::App& validate_app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub = validate_app.add_subcommand(
      "steps", "decode steps of published deployments, simulated from their table alone");
  sub->add_option("csv", options->task.file, "table of measured serving points")
      ->required()
      ->type_name("CSV");
  sub->add_option("--points", options->task.points, "write one CSV line per judged row")
      ->type_name("FILE");
  options->common.add_json(*sub);
  options->common.add_catalog(*sub);
  options->common.add_threads(*sub);
  sub->footer(
      "Every row becomes a scenario; nothing is fitted to it. The naive baseline is the same step "
      "with the\n"
      "spec sheet's kernels. 80 % of the rows should lie inside p10-p90.\n"
      "Example:\n  moesim validate steps serving_points.csv --points points.csv");
  sub->callback([options, &command] { command.run = [options] { return validate(*options); }; });
}

}  // namespace moesim
