// moesim validate host: small Mixture-of-Experts layers really run on this
// machine, beside what the simulator says of them from microbenchmarks alone.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "sim/app/validate_host.h"
#include "sim/cli/command_line.h"

namespace moesim {
namespace {

struct Options {
  ValidateHostOptions task;
  double bar_percent = 15.0;
  CommonOptions common;
};

// Ctrl-C ends the measurement, but not what is printed or saved already; a second one the program.
std::atomic<bool> interrupted{false};
extern "C" void end_measurement(int /*signal*/) {
  interrupted.store(true);
  std::signal(SIGINT, SIG_DFL);
}

std::string interval_text(const HostInterval& interval) {
  return percent(interval.low) + " .. " + percent(interval.high);
}

std::string pair_text(double measured, double predicted) {
  return measured <= 0.0 && predicted <= 0.0
             ? "-"
             : human_seconds(measured) + " " + human_seconds(predicted);
}

void print_tables(const HostValidation& result) {
  Table rows({"configuration", "measured", "predicted", "error", "interval", "gate (m p)",
              "dispatch", "experts", "combine", "disk"});
  for (const HostComparison& row : result.rows) {
    std::vector<std::string> cells{describe(row.config), human_seconds(row.measured.step_s),
                                   human_seconds(row.predicted.step_s), percent(row.error()),
                                   interval_text(row.error_interval())};
    for (std::size_t kind = 0; kind < k_step_kinds; ++kind) {
      cells.push_back(pair_text(row.measured.phase_s.at(kind), row.predicted.phase_s.at(kind)));
    }
    cells.push_back(pair_text(row.measured.disk_s, row.predicted.disk_s));
    rows.row(std::move(cells));
  }
  std::cout << rows.text() << "\n";
  Table groups({"group", "runs", "median", "interval", "p90", "worst", "worst beyond noise",
                "mean signed", "noise, median", "naive roofline, median"});
  for (const HostGroup& group : result.groups) {
    const bool steps = group.naive_median_ape > 0.0;
    groups.row({group.name, std::to_string(group.n), percent(group.median_ape),
                steps ? interval_text(group.interval) : "-", percent(group.p90_ape),
                percent(group.worst_ape), steps ? percent(group.worst_beyond_noise) : "-",
                percent(group.mean_signed_error), steps ? percent(group.median_noise) : "-",
                steps ? percent(group.naive_median_ape) : "-"});
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
            << "profile: " << result.source << "\n";
  const HostNoise& noise = result.noise;
  std::cout << noise.rounds << " rounds, " << percent(noise.undisturbed_share)
            << " of the windows undisturbed, " << percent(noise.stolen_visit_share)
            << " of the visits with stolen time; half widths: layers "
            << percent(noise.layer_half_width) << ", microbenchmarks "
            << percent(noise.micro_half_width) << "\n"
            << "verdict: " << result.verdict.text << "\n";
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
    task.run.bar = options.bar_percent / 100.0;
    task.run.cancel = &interrupted;
    std::signal(SIGINT, end_measurement);
    try {
      result = validate_host(task);
    } catch (const Interrupted&) {
      std::cerr << "moesim: interrupted; nothing was judged or saved\n";
      return 1;
    }
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
                "fewer configurations and repeats (below 30 s)");
  sub->add_option("--budget", options->task.run.budget_s,
                  "seconds until measuring ends; more make intervals narrower (default: 150, or 24 "
                  "when quick)")
      ->check(CLI::Range(1.0, 86400.0))
      ->type_name("S");
  sub->add_option("--bar", options->bar_percent,
                  "percent that the median error is claimed not to exceed")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 1000.0))
      ->type_name("PERCENT");
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
  sub->footer(
      "The verdict is within, beyond or cannot_tell: noise above the bar, or an interval around "
      "it, "
      "proves nothing. All three are exit status 0.\n"
      "Example:\n  moesim validate host --save this_host");
  sub->callback([options, &command] { command.run = [options] { return validate(*options); }; });
}

}  // namespace moesim
