// Microbenchmarks by family: what to run, not when. micro_run.h runs them.
#pragma once

#include <atomic>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "calibrate/cpu/expert_file.h"
#include "calibrate/cpu/micro_rows.h"
#include "calibrate/cpu/thread_team.h"
#include "calibrate/cpu/weight_pool.h"

namespace moesim {

struct MicroCase {
  MicroKey key;
  std::function<TimedSample()> run;  // one repeat; seconds per call
  bool sets_caches = false;          // itself, before every timed window: needs no warm-up
};

// What the cases run on. Outlives them.
struct MicroMachine {
  ThreadTeam& team;
  const WeightPool& pool;
  const ExpertFile& file;                     // on the disk that is to be measured
  const std::atomic<bool>* cancel = nullptr;  // once true, making cases throws Interrupted
};

struct MicroFamily {
  std::string_view name;  // of its file: NAME.csv
  std::string_view summary;
  bool for_profile;          // does fit_host_profile read it?
  double seconds_per_visit;  // devices vary more than processors
  int device_kernels;        // that are left out where the file has no direct reads
  std::vector<MicroCase> (*cases)(const MicroMachine& machine, bool quick);
};

// Every family, in the order in which they are documented and run.
std::span<const MicroFamily> micro_families();

namespace detail {

std::vector<MicroCase> gemm_cases(const MicroMachine& machine, bool quick);
std::vector<MicroCase> stream_cases(const MicroMachine& machine, bool quick);
std::vector<MicroCase> expert_cases(const MicroMachine& machine, bool quick);
std::vector<MicroCase> gate_cases(const MicroMachine& machine, bool quick);
std::vector<MicroCase> exchange_cases(const MicroMachine& machine, bool quick);
std::vector<MicroCase> attention_cases(const MicroMachine& machine, bool quick);
std::vector<MicroCase> disk_cases(const MicroMachine& machine, bool quick);
std::vector<MicroCase> disk_path_cases(const MicroMachine& machine, bool quick);
std::vector<MicroCase> handoff_cases(const MicroMachine& machine, bool quick);

// Cycles through the matrices of a working set, each thread through its own equal part, and runs
// `call(rank, weights)` on `calls` of them per repeat. At least one matrix per thread.
std::function<TimedSample()> cycling(const MicroMachine& machine, int threads,
                                     std::int64_t floats_each, std::int64_t working_set_bytes,
                                     int calls, std::function<void(int, const float*)> call);

// What lies between two uses of a row or of a router in a layer: one-row experts, each thread its
// own part of `bytes` of them.
void run_past_experts(const MicroMachine& machine, int rank, int threads, std::int64_t bytes);

}  // namespace detail
}  // namespace moesim
