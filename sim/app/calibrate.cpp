#include "sim/app/calibrate.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "calibrate/cpu/host_tables.h"
#include "calibrate/cpu/micro_run.h"
#include "calibrate/fit/comm_fit.h"
#include "calibrate/fit/fit_profiles.h"
#include "hardware/cluster.h"
#include "sim/app/device_catalog.h"
#include "sim/core/catalog.h"

namespace moesim {
namespace {

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

}  // namespace

std::vector<KernelProfile> calibrate_fit_kernels(const CalibrateFitOptions& options) {
  KernelFitOptions fit_options;
  fit_options.date = options.date;
  fit_options.threads = options.threads;
  std::vector<KernelProfile> profiles = fit_profiles(
      options.directory,
      [&](const std::string& name) { return find_device_peaks(options.catalogs, name); },
      fit_options, options.progress);
  if (!options.spec_sheet) {
    std::erase_if(profiles, [](const KernelProfile& p) { return p.framework == k_spec_sheet; });
  }
  return profiles;
}

std::vector<CommProfile> calibrate_fit_communication(const CalibrateFitOptions& options) {
  return fit_comm(options.directory, measured_systems(options.catalogs), options.date);
}

ProfileFile profile_file(const KernelProfile& profile) {
  return {profile_file_name(profile), kernel_profile_text(profile)};
}

ProfileFile profile_file(const CommProfile& profile) {
  return {profile.name + ".json", comm_profile_json(profile).dump(2) + "\n"};
}

HostProfile calibrate_host(const std::string& folder) {
  const std::vector<HostTable> tables = read_host_tables(folder);
  return fit_host_profile(rows_of(tables), tables.back().table.source, folder);
}

std::vector<MeasuredFamily> calibrate_run(const CalibrateRunOptions& options) {
  const auto families = static_cast<double>(options.families.empty() ? micro_families().size()
                                                                     : options.families.size());
  std::string current;
  double done = -1.0;
  std::vector<MeasuredFamily> measured;
  for (const MicroRunResult& result :
       run_microbenchmarks({.out = options.out,
                            .families = options.families,
                            .quick = options.quick,
                            .scratch_folder = options.scratch_folder},
                           [&](const std::string& family, double share) {
                             done += family == current ? 0.0 : 1.0;
                             current = family;
                             if (options.progress) {
                               options.progress((done + share) / families);
                             }
                           })) {
    measured.push_back({.name = result.family,
                        .path = result.path,
                        .rows = result.rows,
                        .kept = result.kept,
                        .left_out = result.left_out,
                        .why = result.left_out > 0 ? k_no_direct_reads : ""});
  }
  return measured;
}

std::vector<std::pair<std::string_view, std::string_view>> calibrate_families() {
  std::vector<std::pair<std::string_view, std::string_view>> families;
  for (const MicroFamily& family : micro_families()) {
    families.emplace_back(family.name, family.summary);
  }
  return families;
}

}  // namespace moesim
