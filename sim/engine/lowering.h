// Lowering of one step: model, batch, placement and routing become a task graph.
#pragma once

#include <span>
#include <vector>

#include "hardware/topology.h"
#include "models/kernel_model.h"
#include "models/operators.h"
#include "sim/engine/all_to_all_links.h"
#include "sim/engine/lowered_step.h"
#include "sim/engine/scenario.h"
#include "sim/engine/step_traffic.h"

namespace moesim {

struct LoweringInput {
  const Topology& topology;
  const MoeModel& model;
  const KernelModel& kernels;
  std::span<const CommProfile> comm_profiles;
  CommTarget comm_target;
  const Workload& workload;
  const Parallelism& parallelism;
  const Policy& policy;
  const ExpertGroups& groups;
  const ExpertPlacement& placement;  // of one expert group; all groups are placed alike
  const StepTraffic& traffic;
};

// Per layer and rank one chain of kernels up to the dispatch (attention, router, shared experts or
// dense FFN) and one from dispatch to combine (routed experts); per layer and expert group one
// dispatch and one combine. A collective waits for all its ranks and all of them wait for it.
LoweredStep lower_step(const LoweringInput& input);

// One row per all-to-all direction or collective that the step used.
struct CommProvenance {
  std::string family;  // "all_to_all/deepep_low_latency/dispatch"
  std::string profile;
  CommBasis basis = CommBasis::uncalibrated;
  CommFit fit;
  std::string library;  // of a collective
};
std::vector<CommProvenance> comm_provenance(const LoweringInput& input);

// The law of a collective under the scenario's policy.
FoundCollective collective_law(const LoweringInput& input, CollectiveOp op);

// Values of a token that travel to its experts: the latent's, if experts work on one.
std::int64_t dispatch_width(const MoeModel& model);

// The all-to-all of one expert group; used by lowering and, for its grid, by the routing stage.
AllToAllLowering make_all_to_all(const Topology& topology, std::span<const CommProfile> profiles,
                                 const CommTarget& target, const MoeModel& model,
                                 const Policy& policy, const ExpertGroups& groups, int group,
                                 int slots, int top_k);

}  // namespace moesim
