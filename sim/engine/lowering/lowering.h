// Lowering of one step: model, batch, placement and routing become work, an overlap schedule says
// when, and both together a task graph.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "hardware/topology.h"
#include "models/kernels/kernel_model.h"
#include "models/operators/operators.h"
#include "sim/engine/exchange/all_to_all_links.h"
#include "sim/engine/exchange/step_traffic.h"
#include "sim/engine/lowered_step.h"
#include "sim/engine/rank_map.h"
#include "sim/engine/scenario.h"
#include "sim/engine/step_batch.h"

namespace moesim {

// A part of the step's batch that goes through the layers on its own.
struct MicroBatch {
  StepBatch batch;
  StepTraffic traffic;                 // of all its tokens; of chunks: of the first
  std::vector<StepTraffic> more = {};  // of the other chunks (PartRule::chunks)

  [[nodiscard]] int chunks() const { return 1 + static_cast<int>(more.size()); }
  [[nodiscard]] const StepTraffic& chunk(int index) const {
    return index == 0 ? traffic : more[static_cast<std::size_t>(index) - 1];
  }
};

struct LoweringInput {
  const Topology& topology;
  const MoeModel& model;
  const KernelModel& kernels;
  std::span<const CommProfile> comm_profiles;
  CommTarget comm_target;
  const RankMap& ranks;
  const Policy& policy;
  const ExpertPlacement& placement;           // of one expert group; all groups are placed alike
  std::span<const MicroBatch> micro_batches;  // as many as the overlap schedule wants
  int multiprocessors = 0;                    // of a device; 0: unknown
};

// Per layer and rank chains of kernels, per layer and expert group one dispatch and one combine,
// per layer and tensor-parallel group its sums: step_work.h. A collective waits for all its ranks
// and all of them wait for it.
//
// Lowers steps one after the other and keeps what they have in common: work and its schedule,
// resources, how exchanges are set up, laws, memory. A step's graph depends on its micro-batches
// alone. One per thread.
class StepLowering {
 public:
  // What `fixed` refers to must outlive this; its micro-batches are not looked at. `options`: of
  // the policy's overlap, with a degree where its schedule has one.
  StepLowering(const LoweringInput& fixed, const OverlapOptions& options);
  // As the policy says; for schedules without a degree, or with a fixed one.
  explicit StepLowering(const LoweringInput& fixed)
      : StepLowering(fixed, fixed.policy.overlap_options) {}
  ~StepLowering();
  StepLowering(StepLowering&&) noexcept;
  StepLowering& operator=(StepLowering&&) noexcept;

  [[nodiscard]] LoweredStep lower(std::span<const MicroBatch> micro_batches);

 private:
  struct Kept;
  std::unique_ptr<Kept> kept_;
};

// One row per all-to-all direction or collective that the step used.
struct CommProvenance {
  std::string family;  // "all_to_all/deepep_low_latency/dispatch"
  std::string profile;
  CommBasis basis = CommBasis::uncalibrated;
  CommFit fit;
  std::string library;      // of a collective
  int multiprocessors = 0;  // that its kernels were given, where the law says so
};
std::vector<CommProvenance> comm_provenance(const LoweringInput& input);

// The law of a collective under the scenario's policy.
FoundCollective collective_law(const LoweringInput& input, CollectiveOp op);

// Values of a token that travel to its experts: the latent's, if experts work on one.
std::int64_t dispatch_width(const MoeModel& model);

// The all-to-all of one expert group; used by lowering and, for its grid, by the routing stage.
AllToAllLowering make_all_to_all(const Topology& topology, std::span<const CommProfile> profiles,
                                 const CommTarget& target, const MoeModel& model,
                                 const Policy& policy, const RankMap& ranks, int group, int slots,
                                 int top_k);

}  // namespace moesim
