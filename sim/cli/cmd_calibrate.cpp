// moesim calibrate: from measurements to profiles.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "calibrate/fit/comm_fit.h"
#include "calibrate/fit/fit_profiles.h"
#include "hardware/cluster.h"
#include "models/kernels/kernel_profile.h"
#include "sim/cli/command_line.h"
#include "sim/cli/device_catalog.h"
#include "sim/core/catalog.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"

namespace moesim {
namespace {

struct Options {
  CommonOptions common;
  std::string directory;
  std::string out;
  std::string comm_out;
  std::string date;
  bool spec_sheet = false;
};

void write_profile(const std::string& folder, const std::string& name, const std::string& text) {
  std::filesystem::create_directories(folder);
  const std::string path = (std::filesystem::path(folder) / name).string();
  write_text_file(path, text);
  std::cout << path << "\n";
}

void fit_kernels(const Options& options, const CatalogFolders& folders) {
  std::vector<KernelProfile> profiles;
  {
    ProgressBar progress("fitting");
    KernelFitOptions fit_options;
    fit_options.date = options.date;
    fit_options.threads = options.common.threads;
    profiles = fit_profiles(
        options.directory,
        [&](const std::string& name) { return find_device_peaks(folders, name); }, fit_options,
        [&](double share) { progress.show(share); });
  }
  for (const KernelProfile& profile : profiles) {
    if (profile.framework == k_spec_sheet && !options.spec_sheet) {
      continue;
    }
    write_profile(options.out, profile_file_name(profile), kernel_profile_text(profile));
  }
}

// Nominal rates: as communication profiles have them, else as a cluster with the device has.
std::vector<CommProfile> measured_systems(const CatalogFolders& folders) {
  std::vector<CommProfile> systems = load_comm_profiles(folders.comm_profiles);
  std::vector<std::string> clusters;
  for (const std::string& folder : folders.hardware) {
    clusters.push_back((std::filesystem::path(folder) / "clusters").string());
  }
  for (const std::string& name : catalog_names(clusters)) {
    const NodeSpec node = load_cluster(name, name, folders.hardware, nullptr).node;
    if (node.devices > 1 && node.nics > 0 &&
        std::ranges::find(systems, node.device.name, &CommProfile::device) == systems.end()) {
      systems.push_back({.name = node.device.name,
                         .device = node.device.name,
                         .architecture = node.device.architecture,
                         .device_link = node.device_link.bandwidth,
                         .nic = node.nic_link.bandwidth,
                         .devices_per_node = node.devices,
                         .source = "nominal rates of the cluster " + name,
                         .all_to_all = {},
                         .collectives = {}});
    }
  }
  return systems;
}

void fit_communication(const Options& options, const CatalogFolders& folders) {
  for (const CommProfile& profile :
       fit_comm(options.directory, measured_systems(folders), options.date)) {
    write_profile(options.comm_out, profile.name + ".json",
                  comm_profile_json(profile).dump(2) + "\n");
  }
}

int fit(const Options& options) {
  const CatalogFolders folders = catalog_folders(options.common.catalog);
  if (options.out.empty() && options.comm_out.empty()) {
    throw ConfigError("calibrate fit",
                      "give --out for kernel profiles, --comm-out for "
                      "communication profiles, or both");
  }
  if (!options.out.empty()) {
    fit_kernels(options, folders);
  }
  if (!options.comm_out.empty()) {
    fit_communication(options, folders);
  }
  return 0;
}

}  // namespace

void add_calibrate_command(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* sub =
      app.add_subcommand("calibrate", "measure this machine, fit profiles to measurements");
  sub->require_subcommand(1);
  CLI::App* fit_sub = sub->add_subcommand(
      "fit",
      "kernel profiles per system, framework and version; communication profiles per system");
  fit_sub->add_option("dir", options->directory, "folder of measured CSV files")
      ->required()
      ->type_name("DIR");
  fit_sub->add_option("--out", options->out, "folder for the kernel profiles")->type_name("DIR");
  fit_sub->add_flag("--spec-sheet", options->spec_sheet,
                    "also spec_sheet.json, which answers for devices and kernels that nobody "
                    "measured; in a catalog it takes the place of the shipped one");
  fit_sub->add_option("--comm-out", options->comm_out, "folder for the communication profiles")
      ->type_name("DIR");
  fit_sub->add_option("--date", options->date, "of the measurements, YYYY-MM or YYYY-MM-DD")
      ->required();
  options->common.add_catalog(*fit_sub);
  options->common.add_threads(*fit_sub);
  fit_sub->footer(
      "The folder has the layout SYSTEM/OPERATION__FRAMEWORK-VERSION.csv, "
      "SYSTEM/nccl-VERSION.csv.\n"
      "Example:\n  moesim calibrate fit measured --date 2026-11 \\\n"
      "      --out my_catalog/models/profiles --comm-out my_catalog/models/comm/profiles\n"
      "  moesim simulate SCENARIO --catalog my_catalog --set /policy/kernels=FRAMEWORK");
  fit_sub->callback([options, &command] { command.run = [options] { return fit(*options); }; });
  add_calibrate_run_command(*sub, command);
  add_calibrate_host_command(*sub, command);
}

}  // namespace moesim
