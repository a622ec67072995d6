// Token traffic of one MoE layer: what every rank computes and receives, and what crosses links.
// Filled from tokens by counting, or from expected counts; who reads it cannot tell which. Nothing
// in it has an entry per pair of ranks: links only know who sends and receives how much, and how
// far it goes (token_flow.h).
//
// Replica rule: a source rank sends all its tokens for an expert to ONE replica. That is the one on
// its own rank if there is one; else, among the replicas in its own node if there are any, else
// among all, number (source + expert) mod n in slot order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/operators/op.h"
#include "placement/placement.h"
#include "sim/engine/exchange/token_flow.h"

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

// Picks by expert and source, before a placement says where they go.
struct ExpertCounts {
  int ranks = 0;
  int experts = 0;
  std::vector<std::int32_t> count;  // [expert * ranks + source]
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
  // Throws InvariantError unless every node has as many ranks.
  [[nodiscard]] RankGrid grid() const;
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

// Copies of a layer's tokens when each goes once to where several of its experts are.
struct DistinctTraffic {
  std::vector<std::int64_t> rows;  // [rank]: tokens with an expert there, its own included
  TokenFlow per_rank;              // a copy per (token, rank)
  // A copy per (token, other node), to the rank there at the sender's place, which passes it on to
  // each rank of its node that needs it; directly within the sender's node.
  TokenFlow per_node;
};

struct LayerTraffic {
  std::vector<ExpertLoad> load;  // [rank]
  TokenFlow pairs;               // a copy per (token, expert)
  DistinctTraffic distinct;      // filled only if asked for

  [[nodiscard]] int ranks() const { return static_cast<int>(load.size()); }
};

// One token's copies, given the ranks that compute it, each named once.
void add_distinct(int source, std::span<const int> ranks, std::int64_t weight,
                  DistinctTraffic& distinct);

// Counts one layer in parts, each token standing for `weight` of them. Holds scratch memory that
// the next layer reuses: one per thread.
class TrafficCounter {
 public:
  // The choice must outlive the counting.
  void begin(const ReplicaChoice& replicas, bool needs_distinct, LayerTraffic& out);
  // Throws InvariantError when sizes disagree, or picks are more than 31 bits can count.
  void add(const LayerPicks& picks, const TokenLayout& layout, std::int32_t weight);
  // Picks alone, from wherever: who needs distinct copies adds those to the result.
  void add(const ExpertCounts& counts, std::int32_t weight);
  void finish();

 private:
  void place_on_one(int slot, std::span<const std::int32_t> row);
  void place_on_many(int expert, std::span<const std::int32_t> row);
  void find_serving(int experts);
  void count_distinct(const LayerPicks& picks, const TokenLayout& layout, std::int32_t weight);
  void spread_distinct(int source, std::int32_t weight);

  const ReplicaChoice* replicas_ = nullptr;
  LayerTraffic* out_ = nullptr;
  bool needs_distinct_ = false;
  ExpertCounts sum_;
  ExpertCounts part_;
  std::vector<std::int64_t> slot_pairs_;
  std::vector<std::int32_t> slot_of_source_;
  std::vector<std::int64_t> sent_;      // [rank]: pairs of its tokens
  std::vector<std::int64_t> own_;       // [rank]: of these, computed there
  std::vector<std::int32_t> at_place_;  // [place in a node]: of one expert's pairs
  std::vector<std::int32_t> serving_;   // [source * experts + expert]: rank
  std::vector<std::int32_t> to_rank_;   // tokens of one source that reach each rank
  std::vector<std::int32_t> to_node_;
  std::vector<std::int64_t> last_token_of_rank_;
  std::vector<std::int64_t> last_token_of_node_;
};

}  // namespace moesim
