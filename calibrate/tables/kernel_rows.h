// Measured kernel times as rows of the kernel models: which family, which shape, how long.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "calibrate/tables/load_generator.h"
#include "models/kernels/kernel_form.h"

namespace moesim {

// The spec sheet of a system ("h100_sxm"); nullopt if the name is unknown.
using DeviceLookup = std::function<std::optional<DevicePeaks>(const std::string&)>;

// One file; what its name and folder say. README.md lists the layouts.
struct MeasuredFile {
  std::string path;
  std::string layout;     // "main", or the project whose layout it is
  std::string operation;  // of that layout; empty framework: not a file of kernel times
  std::string system;     // name in the device catalog
  std::string framework;
  std::string version;  // where the name has none: the commit that the file's comment cites
  std::string subject;  // model or widths, where the name gives them
};

// All *.csv below `dir`, by path. Throws ConfigError when the folder does not exist or holds no CSV
// file.
std::vector<MeasuredFile> measured_files(const std::string& dir);

struct KernelRow {
  KernelShape shape;
  double seconds = 0;             // measured
  double naive_seconds = 0;       // spec-sheet roofline of ideal work
  std::uint16_t source = 0;       // index into KernelRows::sources
  std::uint16_t group = 0;        // index into KernelRows::groups
  std::uint64_t shape_group = 0;  // rows that are left out together
  std::uint64_t other_group = 0;  // a second way to leave rows out (widths of k); 0: none
  bool checkable = false;         // the naive bound is exact: nothing real can beat it
  bool products_alone = false;    // of experts: their two products without what lies around them
  std::uint32_t line = 0;         // of the file
};

struct KernelRows {
  MeasuredFile file;
  DevicePeaks device;    // of the system; empty when there are no rows
  std::string citation;  // the file's comment
  std::vector<std::string> sources;
  std::vector<std::string> groups;  // names in reports
  std::vector<KernelRow> rows;
  std::map<std::string, std::int64_t> skipped;  // reason -> rows
};

// Throws ConfigError for a damaged file. A file of another operation only counts its rows. In files
// with several times per line each time is a row.
KernelRows read_kernel_rows(const MeasuredFile& file, const DeviceLookup& devices,
                            LoadGenerator& loads);

// True when `row` is faster than its device can be: more arithmetic than the peak, or more memory
// traffic than the bandwidth beyond what a second-level cache may have kept.
bool beats_physics(const KernelRow& row, const DevicePeaks& device);

}  // namespace moesim
