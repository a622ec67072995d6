#include "sim/engine/resident_traffic.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/core/thread_pool.h"

namespace moesim {
namespace {

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

TokenLayout layout_of(std::span<const int> rank_of_token, int ranks) {
  TokenLayout layout;
  layout.first.assign(at(ranks) + 1, 0);
  for (const int rank : rank_of_token) {
    ++layout.first[at(rank) + 1];
  }
  for (std::size_t r = 1; r < layout.first.size(); ++r) {
    layout.first[r] += layout.first[r - 1];
  }
  return layout;
}

// One expert group's tokens on their way through the layers.
class ResidentTokens {
 public:
  ResidentTokens(const RoutedTokens& tokens, const ExpertGroups& groups, int group, int ffn_experts,
                 bool needs_distinct)
      : tokens_(tokens),
        ranks_(groups.units),
        k_(at(tokens.top_k)),
        count_(groups.tokens_per_unit * groups.units),
        first_(count_ * group),
        ffn_experts_(ffn_experts),
        needs_distinct_(needs_distinct) {
    for (std::int64_t t = 0; t < count_; ++t) {
      rank_of_token_.push_back(static_cast<int>(t / groups.tokens_per_unit));
    }
  }

  void pass(int layer, const ReplicaChoice& replicas, LayerCounts& out, ResidentLayer& resident) {
    const auto ids = tokens_.layer(layer).subspan(at(first_) * k_, at(count_) * k_);
    resident.before = layout_of(rank_of_token_, ranks_);
    sort_by_rank(ids, resident.before);
    const LayerPicks picks{sorted_, tokens_.top_k, ffn_experts_};
    count_experts(picks, resident.before, out.experts);
    if (needs_distinct_) {
      count_distinct(picks, resident.before, replicas, out.distinct);
    }
    move_on(layer, ids, replicas, resident);
    resident.after = layout_of(rank_of_token_, ranks_);
  }

 private:
  // Picks in the order of the ranks that tokens rest on; tokens of a rank keep their order.
  void sort_by_rank(std::span<const std::uint16_t> ids, const TokenLayout& layout) {
    sorted_.resize(ids.size());
    std::vector<std::int64_t> next(layout.first.begin(), layout.first.end() - 1);
    for (std::int64_t t = 0; t < count_; ++t) {
      const std::int64_t place = next[at(rank_of_token_[at(t)])]++;
      std::ranges::copy(ids.subspan(at(t) * k_, k_), sorted_.begin() + place * tokens_.top_k);
    }
  }

  // The pick whose rank keeps the token; -1 if all of them are zero-cost experts.
  [[nodiscard]] int keeper(int layer, std::int64_t token,
                           std::span<const std::uint16_t> picks) const {
    const std::size_t offset = (at(layer) * at(tokens_.tokens()) + at(first_) + at(token)) * k_;
    const bool weighted = !tokens_.ranked && !tokens_.weights.empty();
    int best = -1;
    for (std::size_t i = 0; i < k_; ++i) {
      if (picks[i] < ffn_experts_ &&
          (best < 0 ||
           (weighted && tokens_.weights[offset + i] > tokens_.weights[offset + at(best)]))) {
        best = static_cast<int>(i);
      }
    }
    return best;
  }

  void move_on(int layer, std::span<const std::uint16_t> ids, const ReplicaChoice& replicas,
               ResidentLayer& resident) {
    const auto width = at(ranks_);
    LayerTraffic& back = resident.back;
    DistinctCounts& distinct = resident.back_distinct;
    back.ranks = ranks_;
    back.slot_pairs.assign(at(replicas.slots()), 0);
    back.load.assign(width, {});
    back.pair_copies.assign(width * width, 0);
    if (needs_distinct_) {
      distinct.ranks = ranks_;
      distinct.nodes = replicas.nodes();
      distinct.tokens_to_rank.assign(width * width, 0);
      distinct.tokens_to_node.assign(at(distinct.nodes) * width, 0);
    }
    std::vector<int> ranks_of_results;
    for (std::int64_t t = 0; t < count_; ++t) {
      const auto picks = ids.subspan(at(t) * k_, k_);
      int& rests_on = rank_of_token_[at(t)];
      const int kept = keeper(layer, t, picks);
      if (kept < 0) {
        continue;
      }
      const int next = replicas.rank_of_slot(replicas.slot(rests_on, picks[at(kept)]));
      ranks_of_results.clear();
      for (std::size_t i = 0; i < k_; ++i) {
        if (static_cast<int>(i) == kept || picks[i] >= ffn_experts_) {
          continue;
        }
        const int slot = replicas.slot(rests_on, picks[i]);
        const int computing = replicas.rank_of_slot(slot);
        ++back.slot_pairs[at(slot)];
        ++back.pair_copies[at(computing) * width + at(next)];
        ranks_of_results.push_back(computing);
      }
      if (needs_distinct_) {
        add_distinct(ranks_of_results, next, replicas, distinct);
      }
      rests_on = next;
    }
    for (int slot = 0; slot < replicas.slots(); ++slot) {
      ExpertLoad& load = back.load[at(replicas.rank_of_slot(slot))];
      load.pairs += back.slot_pairs[at(slot)];
      load.busiest = std::max(load.busiest, back.slot_pairs[at(slot)]);
    }
  }

  void add_distinct(std::vector<int>& computing, int next, const ReplicaChoice& replicas,
                    DistinctCounts& distinct) const {
    const auto width = at(ranks_);
    std::ranges::sort(computing);
    computing.erase(std::ranges::unique(computing).begin(), computing.end());
    int last_node = -1;  // ranks ascend, and nodes with them
    for (const int rank : computing) {
      ++distinct.tokens_to_rank[at(rank) * width + at(next)];
      const int node = replicas.node_of(rank);
      distinct.tokens_to_node[at(node) * width + at(next)] += node != last_node ? 1 : 0;
      last_node = node;
    }
  }

  const RoutedTokens& tokens_;
  int ranks_;
  std::size_t k_;
  std::int64_t count_;
  std::int64_t first_;  // of the group's tokens
  int ffn_experts_;
  bool needs_distinct_;
  std::vector<int> rank_of_token_;
  std::vector<std::uint16_t> sorted_;  // scratch
};

}  // namespace

StepTraffic count_resident_step(const RoutingSource& source, const Workload& workload,
                                const Parallelism& parallelism, const ExpertGroups& groups,
                                const ExpertPlacement& placement, std::span<const int> node_of_unit,
                                int ffn_experts, bool needs_distinct, std::uint64_t seed,
                                int threads) {
  ensure(workload.kind == StepKind::decode, "only decode steps leave tokens with their experts");
  const RoutedTokens tokens =
      source.batch(decode_batch(workload, parallelism.attention_dp, seed, threads));
  ensure(tokens.tokens() == groups.tokens_per_unit * groups.units * groups.groups,
         "every rank dispatches its own tokens");
  const auto layers = placement.slot_expert.size();
  const auto group_count = at(groups.groups);
  StepTraffic traffic;
  traffic.layout = even_layout(groups.units, groups.tokens_per_unit);
  traffic.layers.assign(layers, std::vector<LayerCounts>(group_count));
  traffic.resident.assign(layers, std::vector<ResidentLayer>(group_count));
  parallel_for(group_count, threads, [&](std::size_t g) {
    ResidentTokens group(tokens, groups, static_cast<int>(g), ffn_experts, needs_distinct);
    for (std::size_t l = 0; l < layers; ++l) {
      const int layer = static_cast<int>(l);
      group.pass(layer, ReplicaChoice(placement, layer, node_of_unit), traffic.layers[l][g],
                 traffic.resident[l][g]);
    }
  });
  return traffic;
}

}  // namespace moesim
