#include "sim/engine/exchange/resident_traffic.h"

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
  ResidentTokens(const RoutedPart& part, const RankMap& ranks, int group, bool needs_distinct)
      : tokens_(part.tokens),
        ranks_(ranks.units()),
        k_(at(part.tokens.top_k)),
        first_(part.layout.first[at(group * ranks.units())]),
        needs_distinct_(needs_distinct) {
    for (int unit = 0; unit < ranks_; ++unit) {
      const std::int64_t tokens = part.layout.tokens_of(group * ranks_ + unit);
      rank_of_token_.insert(rank_of_token_.end(), at(tokens), unit);
    }
    count_ = static_cast<std::int64_t>(rank_of_token_.size());
  }

  [[nodiscard]] TokenLayout layout() const { return layout_of(rank_of_token_, ranks_); }

  void pass(int layer, const ReplicaChoice& replicas, LayerTraffic& out, ResidentLayer& resident) {
    const auto ids = tokens_.layer(layer).subspan(at(first_) * k_, at(count_) * k_);
    resident.before = layout_of(rank_of_token_, ranks_);
    sort_by_rank(ids, resident.before);
    counter_.begin(replicas, needs_distinct_, out);
    counter_.add({sorted_, tokens_.top_k, replicas.experts()}, resident.before, 1);
    counter_.finish();
    move_on(layer, ids, replicas, resident.back);
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
  [[nodiscard]] int keeper(int layer, std::int64_t token, std::span<const std::uint16_t> picks,
                           int ffn_experts) const {
    const std::size_t offset = (at(layer) * at(tokens_.tokens()) + at(first_) + at(token)) * k_;
    const bool weighted = !tokens_.ranked && !tokens_.weights.empty();
    int best = -1;
    for (std::size_t i = 0; i < k_; ++i) {
      if (picks[i] < ffn_experts &&
          (best < 0 ||
           (weighted && tokens_.weights[offset + i] > tokens_.weights[offset + at(best)]))) {
        best = static_cast<int>(i);
      }
    }
    return best;
  }

  void move_on(int layer, std::span<const std::uint16_t> ids, const ReplicaChoice& replicas,
               LayerTraffic& back) {
    back.load.assign(at(ranks_), {});
    back.pairs.reset(replicas.grid());
    if (needs_distinct_) {
      back.distinct.rows.assign(at(ranks_), 0);
      back.distinct.per_rank.reset(replicas.grid());
      back.distinct.per_node.reset(replicas.grid());
    }
    std::vector<std::int64_t> slot_pairs(at(replicas.slots()));
    std::vector<int> ranks_of_results;
    for (std::int64_t t = 0; t < count_; ++t) {
      const auto picks = ids.subspan(at(t) * k_, k_);
      int& rests_on = rank_of_token_[at(t)];
      const int kept = keeper(layer, t, picks, replicas.experts());
      if (kept < 0) {
        continue;
      }
      const int next = replicas.rank_of_slot(replicas.slot(rests_on, picks[at(kept)]));
      ranks_of_results.clear();
      for (std::size_t i = 0; i < k_; ++i) {
        if (static_cast<int>(i) == kept || picks[i] >= replicas.experts()) {
          continue;
        }
        const int slot = replicas.slot(rests_on, picks[i]);
        const int computing = replicas.rank_of_slot(slot);
        ++slot_pairs[at(slot)];
        back.pairs.add(next, computing, 1);
        ranks_of_results.push_back(computing);
      }
      if (needs_distinct_) {
        std::ranges::sort(ranks_of_results);
        const auto repeated = std::ranges::unique(ranks_of_results);
        ranks_of_results.erase(repeated.begin(), repeated.end());
        add_distinct(next, ranks_of_results, 1, back.distinct);
      }
      rests_on = next;
    }
    for (int slot = 0; slot < replicas.slots(); ++slot) {
      ExpertLoad& load = back.load[at(replicas.rank_of_slot(slot))];
      load.pairs += slot_pairs[at(slot)];
      load.busiest = std::max(load.busiest, slot_pairs[at(slot)]);
    }
  }

  const RoutedTokens& tokens_;
  int ranks_;
  std::size_t k_;
  std::int64_t first_;  // of the group's tokens
  std::int64_t count_ = 0;
  bool needs_distinct_;
  std::vector<int> rank_of_token_;
  std::vector<std::uint16_t> sorted_;  // scratch
  TrafficCounter counter_;
};

}  // namespace

StepTraffic count_resident_parts(std::span<const RoutedPart> parts, const RankMap& ranks,
                                 std::span<const ReplicaChoice> replicas, bool needs_distinct,
                                 int threads) {
  ensure(parts.size() == 1 && parts.front().tokens.token_weight == 1.0,
         "only single tokens of decode steps stay with their experts");
  const auto group_count = at(ranks.expert_groups());
  StepTraffic traffic;
  traffic.home.resize(group_count);
  traffic.layers.assign(replicas.size(), std::vector<LayerTraffic>(group_count));
  traffic.resident.assign(replicas.size(), std::vector<ResidentLayer>(group_count));
  parallel_for(group_count, threads, [&](std::size_t g) {
    ResidentTokens group(parts.front(), ranks, static_cast<int>(g), needs_distinct);
    traffic.home[g] = group.layout();
    for (std::size_t l = 0; l < replicas.size(); ++l) {
      group.pass(static_cast<int>(l), replicas[l], traffic.layers[l][g], traffic.resident[l][g]);
    }
  });
  return traffic;
}

}  // namespace moesim
