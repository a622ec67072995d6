// What the simulator knows about this host: times of kernels as functions of shape and of how far
// away their data is, fitted to microbenchmarks only.
//
//   time of a call alone = core + memory
//   core   = fixed + rows * per_row + rows * width * per_element
//            + weights * (per_weight(rows) + remainder(rows mod 8))
//   memory = far_fixed(working set) + rows * far_per_row(working set) + bytes * alone(working set)
//
// core: everything is as near as it ever is. memory: what the distance of the data adds; it grows
// with the working set, which says in which cache the data waits. With a second core busy, core
// times grow by `contention` (shared units, clocks), and bytes take both(working set of the two).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "calibrate/cpu/micro_rows.h"

namespace moesim {

// Piecewise linear and never falling. Below the first point: its value. Above the last: the last
// value, or the last slope (`goes_on`). `logarithmic`: linear in log(x).
struct Ladder {
  std::vector<double> at;     // ascending, > 0
  std::vector<double> value;  // same size, ascending or equal
  bool logarithmic = false;
  bool goes_on = false;

  [[nodiscard]] double operator()(double x) const;
  // Weight of the rise from point j-1 to j in the value at x (j = 0: 1, or x/at[0] if goes_on).
  [[nodiscard]] double share(std::size_t j, double x) const;
};

struct KernelCall {
  double rows = 0.0;
  double weights = 0.0;  // elements of the matrices that all rows share
  double width = 0.0;    // elements per row that are worked on beside the products
  double bytes = 0.0;    // that come from where the working set lies
  double working_set_bytes = 0.0;
};

// Matrix products work on tiles of that many rows; what is left over takes code of its own.
inline constexpr std::size_t k_row_tile = 8;
std::size_t row_remainder(double rows);  // 0 up to one tile: those have points of their own

struct KernelTimes {
  double fixed_s = 0.0;
  double per_row_s = 0.0;
  double per_element_s = 0.0;
  Ladder per_weight_s;                           // by rows; empty: no products
  std::array<double, k_row_tile> remainder_s{};  // per weight; [0] is 0
  Ladder alone_s_per_byte;  // by working set, as all below; the first point is 0
  Ladder both_s_per_byte;
  Ladder far_fixed_s;  // empty: none
  Ladder far_per_row_s;
  double contention = 1.0;  // in [1, 2]

  [[nodiscard]] double core_s(const KernelCall& call) const;
  [[nodiscard]] double memory_s(const KernelCall& call) const;       // alone
  [[nodiscard]] double both_memory_s(const KernelCall& call) const;  // while another core does too
  [[nodiscard]] double alone_s(const KernelCall& call) const {
    return core_s(call) + memory_s(call);
  }

  // Of the fit: rows of the table and their median error.
  std::int64_t rows_fitted = 0;
  double median_error = 0.0;
  double largest_rows = 0.0;  // of the table; beyond it calls are extrapolated
};

struct HostProfile {
  std::string source;  // of the tables: processor, libraries, date
  std::string date;
  KernelTimes expert;
  KernelTimes gate;
  KernelTimes dispatch_local;
  KernelTimes dispatch_remote;
  KernelTimes combine_local;
  KernelTimes combine_remote;
  // Reads: one row; bytes also count as weights; the working set is the part of the file in use.
  // contention: of the device, when two read.
  std::optional<KernelTimes> disk;  // none where the file system has no direct reads
  KernelTimes page_cache;
  double handoff_s = 0.0;
  // Do two cores keep their data apart, whatever the system says of its caches?
  bool private_caches = false;
  double peak_flops_per_s = 0.0;  // best rate of an expert: what a naive roofline would take
  double peak_bytes_per_s = 0.0;  // best rate of an expert's weights from far away
};

// Fits a profile to the tables of the families with `for_profile`. Without rows of two threads
// (one processor) everything remote equals local; without rows of disk_direct there is no disk.
// Throws ConfigError(where, ...) when another kernel has too few rows, and Interrupted once
// `cancel` is true.
HostProfile fit_host_profile(const std::vector<MicroRow>& rows, const std::string& source,
                             const std::string& where, const std::atomic<bool>* cancel = nullptr);

// Times of one kernel from its rows, for callers that bring their own tables.
struct HostKernelRow {
  KernelCall call;
  int threads = 1;
  double seconds = 0.0;
};
enum class FarTerms : std::uint8_t { bytes, rows_and_bytes };
KernelTimes fit_kernel(const std::vector<HostKernelRow>& rows, FarTerms far,
                       const std::atomic<bool>* cancel = nullptr);
// From the experts' times of one and two threads by working set.
bool has_private_caches(const KernelTimes& times);

nlohmann::json host_profile_json(const HostProfile& profile);
// Throws ConfigError with file and JSON pointer, also for kernels that take no time or have no
// ladders.
HostProfile parse_host_profile(const nlohmann::json& document, const std::string& where);

}  // namespace moesim
