// The step's routing as counts: drawn or replayed token by token once, before lowering.
#pragma once

#include <vector>

#include "placement/placement.h"
#include "sim/engine/scenario.h"
#include "sim/engine/traffic.h"
#include "workloads/routing.h"

namespace moesim {

// Expert ranks. A unit is the expert_tp ranks that slice one set of experts; units of a group hold
// every expert once (expert_ep of them), and expert_dp groups stand side by side. Rank
// (group * ep + unit) * etp + lane is lane `lane` of that unit. Each unit dispatches the tokens of
// its attention data-parallel rank, or its equal part of them.
struct ExpertGroups {
  int groups = 1;
  int units = 1;  // per group
  int lanes = 1;
  std::int64_t tokens_per_unit = 0;

  [[nodiscard]] int rank(int group, int unit, int lane) const {
    return (group * units + unit) * lanes + lane;
  }
};

// Throws ConfigError unless a rank's tokens divide evenly over the units that share them.
ExpertGroups expert_groups(const Parallelism& parallelism, const Workload& workload,
                           const std::string& where);

struct LayerCounts {
  ExpertCounts experts;
  DistinctCounts distinct;  // only if the algorithm needs it
};

// A layer of tokens that stay with their last expert (resident_traffic.h). Its LayerCounts describe
// the way out, from where tokens rest.
struct ResidentLayer {
  TokenLayout before;  // tokens by the rank they rest on before the layer
  TokenLayout after;   // and behind it
  // Results of the picks but the first, which travel to the token's new rank. Matrices are stored
  // as if these had been dispatched from there: [computing rank * ranks + new rank]. Of the loads
  // only pairs and busiest are filled in.
  LayerTraffic back;
  DistinctCounts back_distinct;  // only if the algorithm needs it
};

struct StepTraffic {
  TokenLayout layout;                            // of one group, all tokens, at home
  std::vector<std::vector<LayerCounts>> layers;  // [routing layer][group]
  // [routing layer][group]; empty when every layer sends tokens home.
  std::vector<std::vector<ResidentLayer>> resident;

  // Most tokens that any rank holds between two layers.
  [[nodiscard]] std::int64_t most_tokens() const;
};

// One token of each decoding request.
BatchShape decode_batch(const Workload& workload, int ranks, std::uint64_t seed, int threads);

// Batch `step` of the workload, counted. `ffn_experts` of the source's experts cost something. Pure
// for any number of threads. Tokens that stand for several (sub-sampling) count several times.
StepTraffic count_step(const RoutingSource& source, const Workload& workload,
                       const Parallelism& parallelism, const ExpertGroups& groups,
                       const ExpertPlacement& placement, std::span<const int> node_of_unit,
                       int ffn_experts, bool needs_distinct, std::uint64_t seed, int threads);

// What a report should say of how the step's tokens were drawn.
std::vector<std::string> routing_warnings(const RoutingSource& source, const Workload& workload,
                                          int ranks);

}  // namespace moesim
