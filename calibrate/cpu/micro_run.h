// Runs families of microbenchmarks and keeps their tables.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "calibrate/cpu/micro_case.h"
#include "calibrate/cpu/repeat.h"

namespace moesim {

// "AMD EPYC, 2 processors, OpenBLAS 0.3.21 Haswell, 2026-11-22": what a table's source line says.
std::string host_description();

std::int64_t pool_bytes(bool quick);
std::int64_t disk_bytes(bool quick);  // of the file of experts
// Of microbenchmarks alone.
RoundPlan micro_plan(bool quick, std::size_t cases);
RepeatLimits micro_limits(const MicroFamily& family);
inline constexpr float k_weight_scale = 0.05F;

// Cases and their samples, ready for interleave(); rows in the same order afterwards.
struct MicroSession {
  std::vector<MicroKey> keys;
  std::vector<Repeated> cases;

  void add(std::vector<MicroCase> more, const RepeatLimits& limits);
};
// `team` outlives them.
SessionHooks session_hooks(const ThreadTeam& team, Progress progress,
                           const std::atomic<bool>* cancel = nullptr);
// Of cases that were visited, all of them.
std::vector<MicroRow> micro_rows(std::span<const MicroKey> keys, std::span<const Repeated> cases);

struct MicroRunOptions {
  std::string out;                    // folder, created
  std::vector<std::string> families;  // empty: all
  bool quick = false;
  std::string scratch_folder;  // for the disk's file; empty: `out`
};

struct MicroRunResult {
  std::string family;
  std::string path;
  std::size_t rows = 0;
  int left_out = 0;   // kernels, for k_no_direct_reads
  bool kept = false;  // an earlier run on the same machine had finished it
};

// One file NAME.csv per family, written when the family is done, so that an interrupted run goes on
// where it was: a file of the same host and the same cases is kept. Throws ConfigError for an
// unknown family and std::system_error.
std::vector<MicroRunResult> run_microbenchmarks(
    const MicroRunOptions& options,
    const std::function<void(const std::string& family, double share)>& progress = {});

}  // namespace moesim
