#include "sim/engine/exchange/traffic.h"

#include <algorithm>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr int k_sources_per_block = 16;  // one cache line of counts

std::size_t at(int row, int columns, int column) {
  return static_cast<std::size_t>(row) * static_cast<std::size_t>(columns) +
         static_cast<std::size_t>(column);
}

void check_layout(const LayerPicks& picks, const TokenLayout& layout) {
  ensure(picks.top_k > 0 && picks.experts > 0, "a layer has experts and picks");
  ensure(layout.first.size() >= 2 && layout.first.front() == 0, "a token layout starts at 0");
  ensure(std::ranges::is_sorted(layout.first), "ranks own consecutive tokens");
  ensure(layout.tokens() * picks.top_k < std::int64_t{1} << 31, "a layer's picks fit 31 bits");
  ensure(picks.ids.size() == static_cast<std::size_t>(layout.tokens() * picks.top_k),
         "every token of the layout has top_k picks");
}

std::span<const std::uint16_t> picks_of(const LayerPicks& picks, const TokenLayout& layout,
                                        int rank) {
  const auto r = static_cast<std::size_t>(rank);
  const auto k = static_cast<std::size_t>(picks.top_k);
  return picks.ids.subspan(static_cast<std::size_t>(layout.first[r]) * k,
                           static_cast<std::size_t>(layout.tokens_of(rank)) * k);
}

}  // namespace

TokenLayout even_layout(int ranks, std::int64_t tokens_per_rank) {
  TokenLayout layout;
  for (int r = 0; r <= ranks; ++r) {
    layout.first.push_back(r * tokens_per_rank);
  }
  return layout;
}

void count_experts(const LayerPicks& picks, const TokenLayout& layout, ExpertCounts& counts) {
  check_layout(picks, layout);
  const int ranks = layout.ranks();
  counts.ranks = ranks;
  counts.experts = picks.experts;
  counts.count.resize(static_cast<std::size_t>(ranks) * static_cast<std::size_t>(picks.experts));
  counts.zero_cost_picks = 0;

  // Any 16-bit id may appear, so the histogram covers them all and needs no test per pick.
  const int bins =
      std::max<int>(picks.experts, picks.ids.empty() ? 0 : 1 + std::ranges::max(picks.ids));
  std::vector<std::int32_t> histogram(static_cast<std::size_t>(bins * k_sources_per_block));
  for (int block = 0; block < ranks; block += k_sources_per_block) {
    const int width = std::min(k_sources_per_block, ranks - block);
    std::ranges::fill(histogram, 0);
    for (int s = 0; s < width; ++s) {
      std::int32_t* row = &histogram[at(s, bins, 0)];
      for (const std::uint16_t id : picks_of(picks, layout, block + s)) {
        ++row[id];
      }
    }
    for (int e = 0; e < picks.experts; ++e) {
      std::int32_t* out = &counts.count[at(e, ranks, block)];
      for (int s = 0; s < width; ++s) {
        out[s] = histogram[at(s, bins, e)];
      }
    }
    for (int s = 0; s < width; ++s) {
      for (int e = picks.experts; e < bins; ++e) {
        counts.zero_cost_picks += histogram[at(s, bins, e)];
      }
    }
  }
}

ReplicaChoice::ReplicaChoice(const ExpertPlacement& placement, int layer,
                             std::span<const int> node_of_rank)
    : node_of_rank_(node_of_rank.begin(), node_of_rank.end()),
      rank_of_slot_(static_cast<std::size_t>(placement.slots())),
      first_replica_(static_cast<std::size_t>(placement.experts) + 1),
      replica_slot_(static_cast<std::size_t>(placement.slots())) {
  ensure(placement.devices == ranks(), "a placement covers the ranks");
  ensure(std::ranges::is_sorted(node_of_rank_), "ranks of a node are contiguous");
  const auto& slot_expert = placement.slot_expert.at(static_cast<std::size_t>(layer));
  ensure(slot_expert.size() == rank_of_slot_.size(), "every slot of a layer is described");
  for (std::size_t d = 0; d + 1 < placement.first_slot.size(); ++d) {
    for (int s = placement.first_slot[d]; s < placement.first_slot[d + 1]; ++s) {
      rank_of_slot_[static_cast<std::size_t>(s)] = static_cast<std::int32_t>(d);
    }
  }
  for (const std::int32_t e : slot_expert) {
    if (e < 0) {
      continue;  // an empty slot
    }
    ensure(e < placement.experts, "a slot holds an expert of the model");
    ++first_replica_[static_cast<std::size_t>(e) + 1];
  }
  for (std::size_t e = 0; e + 1 < first_replica_.size(); ++e) {
    ensure(first_replica_[e + 1] > 0, "every expert has a slot");
    first_replica_[e + 1] += first_replica_[e];
  }
  std::vector<std::int32_t> next(first_replica_.begin(), first_replica_.end() - 1);
  for (std::size_t s = 0; s < slot_expert.size(); ++s) {
    if (slot_expert[s] >= 0) {
      auto& position = next[static_cast<std::size_t>(slot_expert[s])];
      replica_slot_[static_cast<std::size_t>(position++)] = static_cast<std::int32_t>(s);
    }
  }
}

RankGrid ReplicaChoice::grid() const {
  const auto on_first = std::ranges::count(node_of_rank_, 0);
  const RankGrid grid{ranks(), static_cast<int>(std::max<std::ptrdiff_t>(on_first, 1))};
  for (int r = 0; r < grid.ranks; ++r) {
    ensure(node_of(r) == grid.node_of(r), "every node holds as many ranks");
  }
  ensure(grid.ranks % grid.ranks_per_node == 0, "every node holds as many ranks");
  return grid;
}

std::span<const std::int32_t> ReplicaChoice::replicas(int expert) const {
  const auto e = static_cast<std::size_t>(expert);
  const auto first = static_cast<std::size_t>(first_replica_[e]);
  return std::span(replica_slot_)
      .subspan(first, static_cast<std::size_t>(first_replica_[e + 1]) - first);
}

int ReplicaChoice::slot(int source, int expert) const {
  const auto all = replicas(expert);
  // Slots ascend with rank and rank with node: the replicas of one node are consecutive.
  const int node = node_of(source);
  std::size_t first_local = 0;
  std::size_t locals = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const int rank = rank_of_slot(all[i]);
    if (rank == source) {
      return all[i];
    }
    if (node_of(rank) == node) {
      first_local = locals == 0 ? i : first_local;
      ++locals;
    }
  }
  const auto candidates = locals > 0 ? all.subspan(first_local, locals) : all;
  return candidates[static_cast<std::size_t>(source + expert) % candidates.size()];
}

void ReplicaChoice::slots_of_sources(int expert, std::span<std::int32_t> slot_of_source) const {
  const auto all = replicas(expert);
  const int rank_count = ranks();
  std::size_t next_replica = 0;
  for (int first = 0; first < rank_count;) {
    const int node = node_of(first);
    std::size_t locals = next_replica;
    while (locals < all.size() && node_of(rank_of_slot(all[locals])) == node) {
      ++locals;
    }
    const auto own = all.subspan(next_replica, locals - next_replica);
    const auto candidates = own.empty() ? all : own;
    std::size_t turn = static_cast<std::size_t>(first + expert) % candidates.size();
    int source = first;
    for (; source < rank_count && node_of(source) == node; ++source) {
      slot_of_source[static_cast<std::size_t>(source)] = candidates[turn];
      turn = turn + 1 == candidates.size() ? 0 : turn + 1;
    }
    for (const std::int32_t s : own) {
      slot_of_source[static_cast<std::size_t>(rank_of_slot(s))] = s;
    }
    next_replica = locals;
    first = source;
  }
}

}  // namespace moesim
