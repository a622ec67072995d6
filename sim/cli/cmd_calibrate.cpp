// moesim calibrate: from measurements to profiles.
#include <filesystem>
#include <iostream>

#include "calibrate/comm_fit.h"
#include "calibrate/fit_profiles.h"
#include "models/kernel_profile.h"
#include "sim/cli/command_line.h"
#include "sim/cli/device_catalog.h"
#include "sim/core/output_file.h"

namespace moesim {
namespace {

struct Options {
  CommonOptions common;
  std::string directory;
  std::string out;
  std::string date;
};

int fit(const Options& options) {
  const CatalogFolders folders = catalog_folders(options.common.catalog);
  std::vector<KernelProfile> profiles;
  {
    ProgressBar progress("fitting");
    FitOptions fit_options;
    fit_options.date = options.date;
    fit_options.threads = options.common.threads;
    profiles = fit_profiles(
        options.directory,
        [&](const std::string& name) { return find_device_peaks(folders, name); }, fit_options,
        [&](double share) { progress.show(share); });
  }
  std::filesystem::create_directories(options.out);
  for (const KernelProfile& profile : profiles) {
    const auto path = std::filesystem::path(options.out) / profile_file_name(profile);
    write_text_file(path.string(), kernel_profile_text(profile));
    std::cout << path.string() << "\n";
  }
  return 0;
}

}  // namespace

void add_calibrate_command(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub =
      app.add_subcommand("calibrate", "measure this machine, fit profiles to measurements");
  sub->require_subcommand(1);
  CLI::App* fit_sub =
      sub->add_subcommand("fit", "one kernel profile per system, framework and version");
  fit_sub->add_option("dir", options->directory, "folder of measured CSV files")
      ->required()
      ->type_name("DIR");
  fit_sub->add_option("--out", options->out, "folder for the profiles")
      ->required()
      ->type_name("DIR");
  fit_sub->add_option("--date", options->date, "of the measurements, YYYY-MM or YYYY-MM-DD")
      ->required();
  options->common.add_catalog(*fit_sub);
  options->common.add_threads(*fit_sub);
  fit_sub->footer(
      "The folder has the layout SYSTEM/OPERATION__FRAMEWORK-VERSION.csv.\n"
      "Example:\n  moesim calibrate fit measured --out my_catalog/models/profiles --date 2026-11\n"
      "  moesim simulate SCENARIO --catalog my_catalog");
  fit_sub->callback([options, &command] { command.run = [options] { return fit(*options); }; });
  add_calibrate_run_command(*sub, command);
  add_calibrate_host_command(*sub, command);
}

}  // namespace moesim
