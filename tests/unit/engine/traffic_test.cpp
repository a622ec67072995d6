#include "sim/engine/traffic.h"

#include <catch2/catch.hpp>
#include <set>

#include "random_layer.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

// The replica rule, written down once more, plainly.
int reference_slot(const RandomLayer& layer, int source, int expert) {
  const auto rank_of = [&](int slot) {
    int rank = 0;
    while (layer.placement.first_slot[static_cast<std::size_t>(rank) + 1] <= slot) {
      ++rank;
    }
    return rank;
  };
  std::vector<int> all;
  std::vector<int> in_node;
  for (int slot = 0; slot < layer.placement.slots(); ++slot) {
    if (layer.placement.slot_expert[0][static_cast<std::size_t>(slot)] != expert) {
      continue;
    }
    if (rank_of(slot) == source) {
      return slot;
    }
    all.push_back(slot);
    if (rank_of(slot) / layer.ranks_per_node == source / layer.ranks_per_node) {
      in_node.push_back(slot);
    }
  }
  const auto& candidates = in_node.empty() ? all : in_node;
  return candidates[static_cast<std::size_t>(source + expert) % candidates.size()];
}

struct Reference {
  std::vector<std::int64_t> slot_pairs;
  std::vector<std::int32_t> pair_copies;
  std::vector<std::int32_t> to_rank;
  std::vector<std::int32_t> to_node;
  std::int64_t zero_cost_picks = 0;
};

int rank_of_slot(const RandomLayer& layer, int slot) {
  const auto& first = layer.placement.first_slot;
  return static_cast<int>(std::ranges::upper_bound(first, slot) - first.begin()) - 1;
}

// Token by token.
Reference walk_tokens(const RandomLayer& layer) {
  const auto ranks = static_cast<std::size_t>(layer.ranks);
  Reference ref;
  ref.slot_pairs.assign(static_cast<std::size_t>(layer.placement.slots()), 0);
  ref.pair_copies.assign(ranks * ranks, 0);
  ref.to_rank.assign(ranks * ranks, 0);
  ref.to_node.assign(static_cast<std::size_t>(layer.nodes()) * ranks, 0);
  for (int source = 0; source < layer.ranks; ++source) {
    const auto s = static_cast<std::size_t>(source);
    for (std::int64_t t = layer.layout.first[s]; t < layer.layout.first[s + 1]; ++t) {
      std::set<int> ranks_hit;
      std::set<int> nodes_hit;
      for (int k = 0; k < layer.top_k; ++k) {
        const int id = layer.ids[static_cast<std::size_t>(t * layer.top_k + k)];
        if (id >= layer.experts) {
          ++ref.zero_cost_picks;
          continue;
        }
        const int slot = reference_slot(layer, source, id);
        const int rank = rank_of_slot(layer, slot);
        ++ref.slot_pairs[static_cast<std::size_t>(slot)];
        ++ref.pair_copies[static_cast<std::size_t>(rank) * ranks + s];
        ranks_hit.insert(rank);
        nodes_hit.insert(rank / layer.ranks_per_node);
      }
      for (const int rank : ranks_hit) {
        ++ref.to_rank[static_cast<std::size_t>(rank) * ranks + s];
      }
      for (const int node : nodes_hit) {
        ++ref.to_node[static_cast<std::size_t>(node) * ranks + s];
      }
    }
  }
  return ref;
}

}  // namespace

TEST_CASE("traffic agrees with walking token by token", "[engine][traffic][property]") {
  int replicated = 0;
  int zero_cost = 0;
  int several_nodes = 0;
  int deduplicated = 0;
  int idle_ranks = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    const RandomLayer layer = random_layer(seed);
    const Reference ref = walk_tokens(layer);
    const ReplicaChoice replicas(layer.placement, 0, layer.node_of_rank);
    ExpertCounts counts;
    DistinctCounts distinct;
    LayerTraffic traffic;
    count_experts(layer.picks(), layer.layout, counts);
    count_distinct(layer.picks(), layer.layout, replicas, distinct);
    lower_counts(counts, replicas, traffic);

    REQUIRE(counts.zero_cost_picks == ref.zero_cost_picks);
    REQUIRE(traffic.slot_pairs == ref.slot_pairs);
    REQUIRE(traffic.pair_copies == ref.pair_copies);
    REQUIRE(distinct.tokens_to_rank == ref.to_rank);
    REQUIRE(distinct.tokens_to_node == ref.to_node);

    // No token is lost: pairs computed + zero-cost picks = tokens * top_k.
    std::int64_t pairs = 0;
    for (const ExpertLoad& load : traffic.load) {
      pairs += load.pairs;
    }
    REQUIRE(pairs + counts.zero_cost_picks == layer.layout.tokens() * layer.top_k);

    replicated += static_cast<int>(layer.placement.slots() > layer.experts);
    zero_cost += static_cast<int>(ref.zero_cost_picks > 0);
    several_nodes += static_cast<int>(layer.nodes() > 1);
    deduplicated += static_cast<int>(ref.to_rank != ref.pair_copies);
    idle_ranks += static_cast<int>(std::ranges::adjacent_find(layer.layout.first) !=
                                   layer.layout.first.end());
  }
  // The hard shapes were really drawn.
  CHECK(replicated > 100);
  CHECK(zero_cost > 30);
  CHECK(several_nodes > 100);
  CHECK(deduplicated > 100);
  CHECK(idle_ranks > 50);
}

TEST_CASE("one replica rule: per source and for all sources at once",
          "[engine][traffic][property]") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    const RandomLayer layer = random_layer(seed);
    const ReplicaChoice replicas(layer.placement, 0, layer.node_of_rank);
    std::vector<std::int32_t> slots(static_cast<std::size_t>(layer.ranks));
    for (int e = 0; e < layer.experts; ++e) {
      replicas.slots_of_sources(e, slots);
      for (int s = 0; s < layer.ranks; ++s) {
        REQUIRE(replicas.slot(s, e) == reference_slot(layer, s, e));
        REQUIRE(slots[static_cast<std::size_t>(s)] == reference_slot(layer, s, e));
      }
    }
  }
}

// Two ranks with two tokens each, top-2 of 3 experts; rank 0 holds expert 0, rank 1 experts 1, 2.
//   rank 0: {0,1} {1,2}   rank 1: {0,2} {0,1}
// Pairs: expert 0: 3, expert 1: 3, expert 2: 2. Copies 0 -> 1: 3 pairs but 2 tokens; 1 -> 0: 2.
TEST_CASE("a layer counted by hand", "[engine][traffic][unit]") {
  const std::vector<std::uint16_t> ids{0, 1, 1, 2, 0, 2, 0, 1};
  const LayerPicks picks{ids, 2, 3};
  const TokenLayout layout = even_layout(2, 2);
  ExpertPlacement placement{3, 2, {0, 1, 3}, {{0, 1, 2}}};
  const std::vector<int> node_of_rank{0, 0};
  const ReplicaChoice replicas(placement, 0, node_of_rank);
  ExpertCounts counts;
  DistinctCounts distinct;
  LayerTraffic traffic;
  count_experts(picks, layout, counts);
  count_distinct(picks, layout, replicas, distinct);
  lower_counts(counts, replicas, traffic);
  CHECK(traffic.slot_pairs == std::vector<std::int64_t>{3, 3, 2});
  CHECK(traffic.pair_copies == std::vector<std::int32_t>{1, 2, 3, 2});
  CHECK(distinct.tokens_to_rank == std::vector<std::int32_t>{1, 2, 2, 2});
  CHECK(distinct.tokens_to_node == std::vector<std::int32_t>{2, 2});
  CHECK(traffic.load[1].pairs == 5);
  CHECK(traffic.load[1].touched_experts == 2);
  CHECK(traffic.load[1].busiest == 3);
}

// Tiles round up per slot: 64 pairs are one 64-row tile, 65 are two; 0 pairs are none.
TEST_CASE("tiles are counted per slot", "[engine][traffic][unit]") {
  ExpertCounts counts;
  counts.ranks = 1;
  counts.experts = 5;
  counts.count = {64, 65, 128, 129, 0};
  ExpertPlacement placement{5, 1, {0, 5}, {{0, 1, 2, 3, 4}}};
  const std::vector<int> node_of_rank{0};
  LayerTraffic traffic;
  lower_counts(counts, ReplicaChoice(placement, 0, node_of_rank), traffic);
  CHECK(traffic.load[0].pairs == 386);
  CHECK(traffic.load[0].touched_experts == 4);
  CHECK(traffic.load[0].tiles_64 == 1 + 2 + 2 + 3);
  CHECK(traffic.load[0].tiles_128 == 1 + 1 + 1 + 2);
  CHECK(traffic.load[0].busiest == 129);
}

TEST_CASE("traffic refuses sizes that disagree", "[engine][traffic][unit]") {
  const std::vector<std::uint16_t> ids(7);
  ExpertCounts counts;
  CHECK_THROWS_AS(count_experts({ids, 2, 4}, even_layout(2, 2), counts), InvariantError);
  ExpertPlacement forgotten{3, 1, {0, 2}, {{0, 1}}};  // nobody holds expert 2
  const std::vector<int> node_of_rank{0};
  CHECK_THROWS_AS(ReplicaChoice(forgotten, 0, node_of_rank), InvariantError);
}

}  // namespace moesim
