#include "sim/engine/traffic.h"

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

void count_distinct(const LayerPicks& picks, const TokenLayout& layout,
                    const ReplicaChoice& replicas, DistinctCounts& counts) {
  check_layout(picks, layout);
  ensure(replicas.ranks() == layout.ranks() && replicas.experts() == picks.experts,
         "layout and placement describe the same ranks and experts");
  const int ranks = layout.ranks();
  const int nodes = replicas.nodes();
  counts.ranks = ranks;
  counts.nodes = nodes;
  counts.tokens_to_rank.assign(at(ranks, ranks, 0), 0);
  counts.tokens_to_node.assign(at(nodes, ranks, 0), 0);

  // The rank that serves each (source, expert), by source.
  std::vector<std::int32_t> slot_of_source(static_cast<std::size_t>(ranks));
  std::vector<std::int32_t> serving(at(ranks, picks.experts, 0));
  for (int e = 0; e < picks.experts; ++e) {
    replicas.slots_of_sources(e, slot_of_source);
    for (int s = 0; s < ranks; ++s) {
      serving[at(s, picks.experts, e)] =
          replicas.rank_of_slot(slot_of_source[static_cast<std::size_t>(s)]);
    }
  }

  // A rank or node counts once per token: it remembers the last token that it was counted for.
  std::vector<std::int64_t> last_token_of_rank(static_cast<std::size_t>(ranks), -1);
  std::vector<std::int64_t> last_token_of_node(static_cast<std::size_t>(nodes), -1);
  std::vector<std::int32_t> to_rank(static_cast<std::size_t>(ranks));
  std::vector<std::int32_t> to_node(static_cast<std::size_t>(nodes));
  std::int64_t token = 0;
  for (int s = 0; s < ranks; ++s) {
    std::ranges::fill(to_rank, 0);
    std::ranges::fill(to_node, 0);
    const auto own = picks_of(picks, layout, s);
    const std::int32_t* server = &serving[at(s, picks.experts, 0)];
    for (std::size_t i = 0; i < own.size(); i += static_cast<std::size_t>(picks.top_k), ++token) {
      for (const std::uint16_t id : own.subspan(i, static_cast<std::size_t>(picks.top_k))) {
        if (id >= picks.experts) {
          continue;  // a zero-cost expert
        }
        const auto rank = static_cast<std::size_t>(server[id]);
        to_rank[rank] += static_cast<std::int32_t>(last_token_of_rank[rank] != token);
        last_token_of_rank[rank] = token;
        const auto node = static_cast<std::size_t>(replicas.node_of(server[id]));
        to_node[node] += static_cast<std::int32_t>(last_token_of_node[node] != token);
        last_token_of_node[node] = token;
      }
    }
    for (int d = 0; d < ranks; ++d) {
      counts.tokens_to_rank[at(d, ranks, s)] = to_rank[static_cast<std::size_t>(d)];
    }
    for (int n = 0; n < nodes; ++n) {
      counts.tokens_to_node[at(n, ranks, s)] = to_node[static_cast<std::size_t>(n)];
    }
  }
}

namespace {

// All sources use one slot: add the expert's row of counts to its rank's row of copies.
std::int64_t add_row(std::span<const std::int32_t> counts, std::span<std::int32_t> copies) {
  const std::int32_t* __restrict from = counts.data();
  std::int32_t* __restrict to = copies.data();
  std::int32_t total = 0;  // wide enough: a layer has fewer than 2^31 picks
  for (std::size_t s = 0; s < counts.size(); ++s) {
    to[s] += from[s];
    total += from[s];
  }
  return total;
}

void add_to_load(std::int64_t pairs, ExpertLoad& load) {
  load.pairs += pairs;
  load.touched_experts += static_cast<std::int64_t>(pairs > 0);
  load.tiles_64 += (pairs + 63) / 64;
  load.tiles_128 += (pairs + 127) / 128;
  load.busiest = std::max(load.busiest, pairs);
}

}  // namespace

void lower_counts(const ExpertCounts& counts, const ReplicaChoice& replicas,
                  LayerTraffic& traffic) {
  ensure(counts.ranks == replicas.ranks() && counts.experts == replicas.experts(),
         "counts and placement describe the same ranks and experts");
  const int ranks = counts.ranks;
  const auto width = static_cast<std::size_t>(ranks);
  traffic.ranks = ranks;
  traffic.slot_pairs.assign(static_cast<std::size_t>(replicas.slots()), 0);
  traffic.load.assign(width, {});
  traffic.pair_copies.assign(width * width, 0);
  std::vector<std::int32_t> slot_of_source(width);

  const auto copies_to = [&](int slot) {
    return std::span(traffic.pair_copies).subspan(at(replicas.rank_of_slot(slot), ranks, 0), width);
  };
  for (int e = 0; e < counts.experts; ++e) {
    const auto row = std::span(counts.count).subspan(at(e, ranks, 0), width);
    const auto holders = replicas.replicas(e);
    if (holders.size() == 1) {
      const int slot = holders.front();
      traffic.slot_pairs[static_cast<std::size_t>(slot)] = add_row(row, copies_to(slot));
      continue;
    }
    replicas.slots_of_sources(e, slot_of_source);
    for (std::size_t s = 0; s < width; ++s) {
      const int slot = slot_of_source[s];
      traffic.slot_pairs[static_cast<std::size_t>(slot)] += row[s];
      traffic.pair_copies[at(replicas.rank_of_slot(slot), ranks, static_cast<int>(s))] += row[s];
    }
  }
  for (int slot = 0; slot < replicas.slots(); ++slot) {
    add_to_load(traffic.slot_pairs[static_cast<std::size_t>(slot)],
                traffic.load[static_cast<std::size_t>(replicas.rank_of_slot(slot))]);
  }
}

}  // namespace moesim
