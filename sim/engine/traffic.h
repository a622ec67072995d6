// Token traffic of one MoE layer. First counting (from tokens, once per layer): how many tokens of
// each source rank chose each expert. Then lowering (from counts and a placement): load of every
// slot and rank, and how many token copies every pair of ranks exchanges.
//
// Replica rule: a source rank sends all its tokens for an expert to ONE replica. That is the one on
// its own rank if there is one; else, among the replicas in its own node if there are any, else
// among all, number (source + expert) mod n in slot order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/op.h"
#include "placement/placement.h"

namespace moesim {

// Tokens of rank r: [first[r], first[r + 1]).
struct TokenLayout {
  std::vector<std::int64_t> first;

  [[nodiscard]] int ranks() const { return static_cast<int>(first.size()) - 1; }
  [[nodiscard]] std::int64_t tokens() const { return first.back(); }
  [[nodiscard]] std::int64_t tokens_of(int rank) const {
    const auto r = static_cast<std::size_t>(rank);
    return first[r + 1] - first[r];
  }
};

TokenLayout even_layout(int ranks, std::int64_t tokens_per_rank);

// Routed picks of one layer. Ids >= `experts` are zero-cost experts: neither load nor traffic.
struct LayerPicks {
  std::span<const std::uint16_t> ids;  // [token][k]
  int top_k = 0;
  int experts = 0;  // FFN experts
};

// Matrices between ranks are stored by receiver of the dispatch, so that sums over sources are
// contiguous: entry [destination * ranks + source].
struct ExpertCounts {
  int ranks = 0;
  int experts = 0;
  std::vector<std::int32_t> count;  // [expert * ranks + source]: picks
  std::int64_t zero_cost_picks = 0;
};

// Throws InvariantError when ids and layout disagree in size. Reuses the memory of `counts`.
void count_experts(const LayerPicks& picks, const TokenLayout& layout, ExpertCounts& counts);

// The replicas of one layer, and the rule above.
class ReplicaChoice {
 public:
  // node_of_rank: one entry per rank, ranks of a node contiguous.
  ReplicaChoice(const ExpertPlacement& placement, int layer, std::span<const int> node_of_rank);

  [[nodiscard]] int ranks() const { return static_cast<int>(node_of_rank_.size()); }
  [[nodiscard]] int nodes() const { return node_of_rank_.empty() ? 0 : node_of_rank_.back() + 1; }
  [[nodiscard]] int slots() const { return static_cast<int>(rank_of_slot_.size()); }
  [[nodiscard]] int experts() const { return static_cast<int>(first_replica_.size()) - 1; }
  [[nodiscard]] int node_of(int rank) const {
    return node_of_rank_[static_cast<std::size_t>(rank)];
  }
  [[nodiscard]] int rank_of_slot(int slot) const {
    return rank_of_slot_[static_cast<std::size_t>(slot)];
  }
  // Slots that hold the expert, ascending.
  [[nodiscard]] std::span<const std::int32_t> replicas(int expert) const;

  // The slot that serves this source rank.
  [[nodiscard]] int slot(int source, int expert) const;

  // slot(source, expert) for every source rank.
  void slots_of_sources(int expert, std::span<std::int32_t> slot_of_source) const;

 private:
  std::vector<int> node_of_rank_;
  std::vector<std::int32_t> rank_of_slot_;
  std::vector<std::int32_t> first_replica_;  // experts + 1
  std::vector<std::int32_t> replica_slot_;
};

// How many tokens of a source have at least one expert on a rank, or in a node.
struct DistinctCounts {
  int ranks = 0;
  int nodes = 0;
  std::vector<std::int32_t> tokens_to_rank;  // [destination * ranks + source]
  std::vector<std::int32_t> tokens_to_node;  // [node * ranks + source]
};

// Needed by algorithms that send a token once per rank or node. Reuses the memory of `counts`.
void count_distinct(const LayerPicks& picks, const TokenLayout& layout,
                    const ReplicaChoice& replicas, DistinctCounts& counts);

// What a placement makes of the counts.
struct LayerTraffic {
  int ranks = 0;
  std::vector<std::int64_t> slot_pairs;  // [slot]: (token, expert) pairs it computes
  std::vector<ExpertLoad> load;          // [rank]
  std::vector<std::int32_t>
      pair_copies;  // [destination * ranks + source]: pairs, own rank included
};

// Reuses the memory of `traffic`.
void lower_counts(const ExpertCounts& counts, const ReplicaChoice& replicas, LayerTraffic& traffic);

}  // namespace moesim
