// moesim calibrate: from measurements to profiles.
#include <filesystem>
#include <iostream>

#include "sim/app/calibrate.h"
#include "sim/cli/command_line.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"

namespace moesim {
namespace {

struct Options {
  CommonOptions common;
  CalibrateFitOptions task;
  std::string out;
  std::string comm_out;
};

void write_profile(const std::string& folder, const ProfileFile& file) {
  std::filesystem::create_directories(folder);
  const std::string path = (std::filesystem::path(folder) / file.name).string();
  write_text_file(path, file.text);
  std::cout << path << "\n";
}

// Kernels are on disk before links are looked at: their fits take minutes.
int fit(const Options& options) {
  CalibrateFitOptions task = options.task;
  task.catalogs = catalogs_of(options.common);
  task.threads = options.common.threads;
  if (options.out.empty() && options.comm_out.empty()) {
    throw ConfigError("calibrate fit",
                      "give --out for kernel profiles, --comm-out for "
                      "communication profiles, or both");
  }
  if (!options.out.empty()) {
    std::vector<KernelProfile> profiles;
    {
      ProgressBar progress("fitting");
      task.progress = [&progress](double share) { progress.show(share); };
      profiles = calibrate_fit_kernels(task);
    }
    task.progress = {};
    for (const KernelProfile& profile : profiles) {
      write_profile(options.out, profile_file(profile));
    }
  }
  if (!options.comm_out.empty()) {
    for (const CommProfile& profile : calibrate_fit_communication(task)) {
      write_profile(options.comm_out, profile_file(profile));
    }
  }
  return 0;
}

}  // namespace

void add_calibrate_command(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub =
      app.add_subcommand("calibrate", "measure this machine, fit profiles to measurements");
  sub->require_subcommand(1);
  CLI::App* fit_sub = sub->add_subcommand("fit",
                                          "kernel profiles per system, framework and "
                                          "version; communication profiles per system");
  fit_sub->add_option("dir", options->task.directory, "folder of measured CSV files")
      ->required()
      ->type_name("DIR");
  fit_sub->add_option("--out", options->out, "folder for the kernel profiles")->type_name("DIR");
  fit_sub->add_flag("--spec-sheet", options->task.spec_sheet,
                    "also spec_sheet.json, which answers for devices and kernels that nobody "
                    "measured; in a catalog it takes the place of the shipped one");
  fit_sub->add_option("--comm-out", options->comm_out, "folder for the communication profiles")
      ->type_name("DIR");
  fit_sub->add_option("--date", options->task.date, "of the measurements, YYYY-MM or YYYY-MM-DD")
      ->required();
  options->common.add_catalog(*fit_sub);
  options->common.add_threads(*fit_sub);
  fit_sub->footer(
      "The folder has the layout SYSTEM/OPERATION__FRAMEWORK-VERSION.csv, "
      "SYSTEM/nccl-VERSION.csv.\n"
      "Example:\n  moesim calibrate fit measured --date 2026-11 \\\n"
      "      --out my_catalog/models/profiles --comm-out "
      "my_catalog/models/comm/profiles\n"
      "  moesim simulate SCENARIO --catalog my_catalog --set "
      "/policy/kernels=FRAMEWORK");
  fit_sub->callback([options, &command] { command.run = [options] { return fit(*options); }; });
  add_calibrate_run_command(*sub, command);
  add_calibrate_host_command(*sub, command);
}

}  // namespace moesim
