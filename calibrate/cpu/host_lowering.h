// A plan as a task graph of the engine, timed by a host profile, and what the engine makes of it.
#pragma once

#include <array>
#include <cstdint>

#include "calibrate/cpu/host_profile.h"
#include "calibrate/cpu/moe_plan.h"
#include "sim/flow/task_graph.h"

namespace moesim {

struct LoweredPlan {
  TaskGraph graph;  // task i is step i of the plan
  // Totals over all steps, for conservation.
  std::int64_t dispatched_pairs = 0;
  std::int64_t computed_pairs = 0;
  std::int64_t combined_pairs = 0;
  double weight_bytes = 0.0;  // of experts, once per call
  double disk_bytes = 0.0;
  std::int64_t disk_reads = 0;
  bool extrapolated = false;                       // more rows per expert than were measured
  std::vector<std::vector<bool>> is_disk_segment;  // [step][segment]
};

// Resources: one per thread (its core, seconds per second), what cores share, memory, disk.
LoweredPlan lower_plan(const MoePlan& plan, const HostProfile& profile);

struct LayerTimes {
  double step_s = 0.0;
  std::array<double, k_step_kinds> phase_s{};  // by MoeStepKind: mean over ranks, waiting left out
  double disk_s = 0.0;                         // of the experts' phase
};
// On the engine's fast backend.
LayerTimes predict(const MoePlan& plan, const HostProfile& profile);
LayerTimes run_lowered(const LoweredPlan& lowered, const MoePlan& plan);

// What the machine's peak arithmetic and memory rates alone would say.
double naive_seconds(const MoePlan& plan, const HostProfile& profile);

}  // namespace moesim
