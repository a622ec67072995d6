// What `moesim calibrate` does: this machine is measured, and profiles are fitted to measurements.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "calibrate/cpu/host_profile.h"
#include "models/comm/comm_profile.h"
#include "models/kernels/kernel_profile.h"
#include "sim/core/progress.h"
#include "sim/engine/catalog_folders.h"

namespace moesim {

struct CalibrateFitOptions {
  std::string directory =
      {};                 // SYSTEM/OPERATION__FRAMEWORK-VERSION.csv, SYSTEM/nccl-VERSION.csv, ...
  std::string date = {};  // of the measurements, YYYY-MM or YYYY-MM-DD
  CatalogFolders catalogs = {};  // data sheets of the measured systems
  bool spec_sheet = false;       // also what answers for kernels that nobody measured
  int threads = 1;               // results do not depend on it
  Progress progress = {};        // of kernels
};

// A profile as a file of a catalog.
struct ProfileFile {
  std::string name;  // "h100_sxm.trtllm-1.3.0rc20.json"
  std::string text;
};

// Kernel profiles by system, framework and version; the spec sheet last, where asked for. Throws
// ConfigError for damaged files or when nothing can be fitted.
std::vector<KernelProfile> calibrate_fit_kernels(const CalibrateFitOptions& options);
// Communication profiles of the systems that have a row. Throws ConfigError.
std::vector<CommProfile> calibrate_fit_communication(const CalibrateFitOptions& options);
ProfileFile profile_file(const KernelProfile& profile);
ProfileFile profile_file(const CommProfile& profile);

// Profile of a machine out of a folder of calibrate_run's tables; host_profile_json() is its
// document. Throws ConfigError.
HostProfile calibrate_host(const std::string& folder);

struct CalibrateRunOptions {
  std::string out = {};  // folder for FAMILY.csv; finished families in it are kept
  std::vector<std::string> families = {};  // empty: all
  bool quick = false;                      // fewer sizes and repeats
  std::string scratch_folder = {};         // on the disk to measure; empty: `out`
  Progress progress = {};
};
struct MeasuredFamily {
  std::string name;
  std::string path;
  std::size_t rows = 0;
  bool kept = false;     // an earlier run on the same machine had finished it
  int left_out = 0;      // kernels
  std::string_view why;  // they were left out
};
// Microbenchmarks of this machine, in minutes. Throws ConfigError for an unknown family,
// std::system_error when the disk fails.
std::vector<MeasuredFamily> calibrate_run(const CalibrateRunOptions& options);
// Name and summary of every family.
std::vector<std::pair<std::string_view, std::string_view>> calibrate_families();

}  // namespace moesim
