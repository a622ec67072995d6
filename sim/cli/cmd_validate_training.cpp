// moesim validate training: published training runs.
#include <iostream>
#include <nlohmann/json.hpp>

#include "sim/app/validate_training.h"
#include "sim/cli/command_line.h"

namespace moesim {
namespace {

struct Options {
  CommonOptions common;
  ValidateTrainingOptions task;
};

void print(const ValidateTrainingResult& result) {
  Table table({"group", "rows", "median", "p90", "mean signed", "naive median", "static median"});
  for (const auto* groups : {&result.groups, &result.pooled}) {
    for (const TrainingGroup& group : *groups) {
      table.row({group.name, std::to_string(group.n), percent(group.median_ape),
                 percent(group.p90_ape), percent(group.mean_signed_error),
                 percent(group.naive_median_ape),
                 group.static_median_ape ? percent(*group.static_median_ape) : "-"});
    }
  }
  std::cout << table.text() << result.judged() << " rows judged\n";
  for (const TrainingFit& fit : result.fits) {
    std::cout << "fit to " << fit.n << " rows"
              << (fit.left_out.empty() ? std::string() : " without " + fit.left_out) << ": "
              << fit.host_us << " us of the host per kernel, kernels take " << fit.slowdown
              << " times their law\n";
  }
  for (const TrainingPairs& pairs : result.pairs) {
    std::cout << pairs.n << " pairs differ in " << pairs.choice
              << " alone: " << pairs.direction_right << " with the right direction, "
              << pairs.within_10_points << " with the ratio within 10 points\n";
  }
  for (const auto& [reason, rows] : result.skipped) {
    std::cout << "skipped " << rows << " rows: " << reason << "\n";
  }
}

int validate(const Options& options) {
  ValidateTrainingResult result;
  {
    ProgressBar progress("simulating");
    ValidateTrainingOptions task = options.task;
    task.catalogs = catalogs_of(options.common);
    task.threads = options.common.threads;
    task.progress = [&progress](double share) { progress.show(share); };
    result = validate_training(task);
  }
  if (options.common.json) {
    std::cout << to_json(result).dump(1) << "\n";
  } else {
    print(result);
  }
  return 0;
}

}  // namespace

void add_validate_training_command(CLI::App& validate_app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub =
      validate_app.add_subcommand("training", "step times and peak memory of published training");
  sub->add_option("csv", options->task.file, "table of step times or of peak memory")
      ->required()
      ->type_name("CSV");
  sub->add_option("--points", options->task.points, "write one CSV line per judged row")
      ->type_name("FILE");
  options->common.add_json(*sub);
  options->common.add_catalog(*sub);
  options->common.add_threads(*sub);
  sub->footer(
      "The table is recognised by its header. Every row becomes a run. Nothing is fitted to peak\n"
      "memory; of step times, two coefficients of the framework are (host's time per kernel, "
      "slowdown\n"
      "of kernels): \"left out/SYSTEM\" judges a system with those that all others ask for.\n"
      "Naive: of step times, 6 FLOP per active parameter and token at 40 % of the peak; of memory, "
      "18 bytes per\n"
      "parameter and 34 per hidden value, layer and token. static: what is allocated between "
      "steps.\n"
      "Example:\n  moesim validate training training_memory.csv --points points.csv");
  sub->callback([options, &command] { command.run = [options] { return validate(*options); }; });
}

}  // namespace moesim
