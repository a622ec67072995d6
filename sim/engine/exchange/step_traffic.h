// The step's routing as counts: drawn or replayed token by token once, before lowering.
#pragma once

#include <span>
#include <vector>

#include "placement/placement.h"
#include "sim/engine/exchange/traffic.h"
#include "sim/engine/rank_map.h"
#include "workloads/sources/routing.h"

namespace moesim {

// A layer of tokens that stay with their last expert (resident_traffic.h). Its LayerTraffic
// describes the way out, from where tokens rest.
struct ResidentLayer {
  TokenLayout before;  // tokens by the rank they rest on before the layer
  TokenLayout after;   // and behind it
  // Results of the picks but the first, which travel to the token's new rank. Stored as if these
  // had been dispatched from there. Of the loads only pairs and busiest are filled in.
  LayerTraffic back;
};

struct StepTraffic {
  std::vector<TokenLayout> home;                  // [group]: all tokens, by the unit that has them
  std::vector<std::vector<LayerTraffic>> layers;  // [routing layer][group]
  // [routing layer][group]; empty when every layer sends tokens home.
  std::vector<std::vector<ResidentLayer>> resident;

  // Most tokens that any rank holds between two layers.
  [[nodiscard]] std::int64_t most_tokens() const;
  // Most (token, expert) pairs that any rank computes in a layer.
  [[nodiscard]] std::int64_t most_pairs() const;
};

// The replica rule of every layer: what a placement means for counting. Reusable as long as the
// placement stays.
std::vector<ReplicaChoice> replica_choices(const ExpertPlacement& placement,
                                           std::span<const int> node_of_unit);

// Tokens that came from one source, rank by rank. Those that stand for several (sub-sampling)
// count several times.
struct RoutedPart {
  RoutedTokens tokens;
  TokenLayout layout;  // of `tokens` over all units of all groups, in order
};

// Splits each attention rank's tokens over the `sharing` units that dispatch them, as evenly as
// whole tokens allow, the first units taking what is left over.
TokenLayout unit_layout(const TokenLayout& attention, int sharing);

// Parts of a step, counted; ranks may have different numbers of tokens, or none. Pure for any
// number of threads.
StepTraffic count_parts(std::span<const RoutedPart> parts, const RankMap& ranks,
                        std::span<const ReplicaChoice> replicas, bool needs_distinct, int threads);

}  // namespace moesim
