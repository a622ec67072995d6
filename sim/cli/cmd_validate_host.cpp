// moesim validate host: small Mixture-of-Experts layers really run on this
// machine, beside what the simulator says of them from microbenchmarks alone.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "sim/app/validate_host.h"
#include "sim/cli/command_line.h"

namespace moesim {
namespace {

struct Options {
  ValidateHostOptions task;
  CommonOptions common;
};

std::string pair_text(double measured, double predicted) {
  return measured <= 0.0 && predicted <= 0.0
             ? "-"
             : human_seconds(measured) + " " + human_seconds(predicted);
}

void print_tables(const HostValidation& result) {
  Table rows({"configuration", "measured", "predicted", "error", "noise", "gate (m p)", "dispatch",
              "experts", "combine", "disk"});
  for (const HostComparison& row : result.rows) {
    std::vector<std::string> cells{describe(row.config), human_seconds(row.measured.step_s),
                                   human_seconds(row.predicted.step_s), percent(row.error()),
                                   percent(row.noise())};
    for (std::size_t kind = 0; kind < k_step_kinds; ++kind) {
      cells.push_back(pair_text(row.measured.phase_s.at(kind), row.predicted.phase_s.at(kind)));
    }
    cells.push_back(pair_text(row.measured.disk_s, row.predicted.disk_s));
    rows.row(std::move(cells));
  }
  std::cout << rows.text() << "\n";
  Table groups({"group", "runs", "median", "p90", "worst", "worst beyond noise", "mean signed",
                "noise, median", "naive roofline, median"});
  for (const HostGroup& group : result.groups) {
    groups.row({group.name, std::to_string(group.n), percent(group.median_ape),
                percent(group.p90_ape), percent(group.worst_ape), percent(group.worst_beyond_noise),
                percent(group.mean_signed_error), percent(group.median_noise),
                group.naive_median_ape > 0.0 ? percent(group.naive_median_ape) : "-"});
  }
  std::cout << groups.text();
  for (const auto& [reason, n] : result.skipped) {
    std::cout << "skipped " << n << " configurations: " << reason << "\n";
  }
  double deviation = 0.0;
  for (const HostComparison& row : result.rows) {
    deviation = std::max(deviation, row.deviation);
  }
  std::cout << "largest deviation of an output from the plain reference: " << deviation << "\n"
            << "profile: " << result.profile.source << "\n";
}

int validate(const Options& options) {
  HostValidation result;
  {
    ProgressBar progress("measuring");
    ValidateHostOptions task = options.task;
    if (task.run.scratch_folder.empty()) {
      task.run.scratch_folder = std::filesystem::temp_directory_path().string();
    }
    task.progress = [&progress](double share) { progress.show(share); };
    result = validate_host(task);
  }
  if (options.common.json) {
    std::cout << to_json(result).dump(1) << "\n";
  } else {
    print_tables(result);
  }
  if (!options.task.save.empty()) {
    save_host_validation(result, options.task.save);
  }
  return 0;
}

}  // namespace

void add_validate_host_command(CLI::App& validate_app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub =
      validate_app.add_subcommand("host",
                                  "layers run on this machine against their simulation from "
                                  "microbenchmarks");
  sub->add_flag("--quick", options->task.run.quick,
                "fewer configurations and repeats (below 40 s)");
  sub->add_option("--configurations", options->task.run.configurations, "how many (default: 72)")
      ->check(CLI::Range(1, 1000));
  sub->add_option("--profile", options->task.profile,
                  "profile of this machine (default: measured now, in turns "
                  "with the layers)")
      ->type_name("FILE");
  sub->add_option("--save", options->task.save,
                  "folder for profile, tables (FAMILY.csv) and results")
      ->type_name("DIR");
  sub->add_option("--scratch", options->task.run.scratch_folder,
                  "folder on the disk from which experts are read (default: "
                  "the temporary one)")
      ->type_name("DIR");
  sub->add_option("--trace", options->task.run.trace, "also replay this .moetrace")
      ->type_name("FILE");
  sub->add_option("--seed", options->task.run.seed, "of the drawn configurations")
      ->capture_default_str();
  options->common.add_json(*sub);
  sub->footer("Example:\n  moesim validate host --save this_host");
  sub->callback([options, &command] { command.run = [options] { return validate(*options); }; });
}

}  // namespace moesim
