#include "sim/engine/exchange/traffic.h"

#include <catch2/catch.hpp>
#include <numeric>
#include <set>

#include "random_layer.h"
#include "sim/core/error.h"
#include "sim/engine/exchange/step_traffic.h"

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

// Copies from rank to rank, [to * ranks + from], and what they mean for links.
using Matrix = std::vector<std::int64_t>;

struct Reference {
  std::vector<std::int64_t> slot_pairs;
  Matrix pairs;
  Matrix to_rank;
  Matrix per_node;  // with the passing on
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
  ref.pairs.assign(ranks * ranks, 0);
  ref.to_rank.assign(ranks * ranks, 0);
  ref.per_node.assign(ranks * ranks, 0);
  const RankGrid grid{layer.ranks, layer.ranks_per_node};
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
        ++ref.pairs[static_cast<std::size_t>(rank) * ranks + s];
        ranks_hit.insert(rank);
        nodes_hit.insert(rank / layer.ranks_per_node);
      }
      for (const int rank : ranks_hit) {
        ++ref.to_rank[static_cast<std::size_t>(rank) * ranks + s];
      }
      for (const int node : nodes_hit) {
        const auto gateway = static_cast<std::size_t>(
            node == grid.node_of(source) ? source : grid.rail_peer(source, node));
        ref.per_node[gateway * ranks + s] += gateway == s ? 0 : 1;
        for (const int rank : ranks_hit) {
          const auto r = static_cast<std::size_t>(rank);
          ref.per_node[r * ranks + gateway] += grid.node_of(rank) == node && r != gateway ? 1 : 0;
        }
      }
    }
  }
  return ref;
}

TokenFlow flow_of(const RandomLayer& layer, const Matrix& copies) {
  TokenFlow flow;
  flow.reset({layer.ranks, layer.ranks_per_node});
  const auto places = static_cast<std::size_t>(layer.ranks_per_node);
  for (std::size_t to = 0; to < static_cast<std::size_t>(layer.ranks); ++to) {
    for (std::size_t from = 0; from < static_cast<std::size_t>(layer.ranks); ++from) {
      const std::int64_t n =
          to == from ? 0 : copies[to * static_cast<std::size_t>(layer.ranks) + from];
      const bool near = to / places == from / places;
      (near ? flow.near_out : flow.far_out)[from] += n;
      (near ? flow.near_in : flow.far_in)[to] += n;
      flow.between[from % places * places + to % places] += near ? 0 : n;
    }
  }
  return flow;
}

bool same(const TokenFlow& a, const TokenFlow& b) {
  return a.grid == b.grid && a.near_out == b.near_out && a.near_in == b.near_in &&
         a.far_out == b.far_out && a.far_in == b.far_in && a.between == b.between;
}

std::vector<std::int64_t> rows_of(const RandomLayer& layer, const Matrix& copies) {
  std::vector<std::int64_t> rows;
  const auto ranks = static_cast<std::ptrdiff_t>(layer.ranks);
  for (auto row = copies.begin(); row != copies.end(); row += ranks) {
    rows.push_back(std::accumulate(row, row + ranks, std::int64_t{0}));
  }
  return rows;
}

LayerTraffic traffic_of(const LayerPicks& picks, const TokenLayout& layout,
                        const ReplicaChoice& replicas) {
  LayerTraffic traffic;
  TrafficCounter counter;
  counter.begin(replicas, true, traffic);
  counter.add(picks, layout, 1);
  counter.finish();
  return traffic;
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
    count_experts(layer.picks(), layer.layout, counts);
    const LayerTraffic traffic = traffic_of(layer.picks(), layer.layout, replicas);

    REQUIRE(counts.zero_cost_picks == ref.zero_cost_picks);
    REQUIRE(same(traffic.pairs, flow_of(layer, ref.pairs)));
    REQUIRE(same(traffic.distinct.per_rank, flow_of(layer, ref.to_rank)));
    REQUIRE(same(traffic.distinct.per_node, flow_of(layer, ref.per_node)));
    REQUIRE(traffic.distinct.rows == rows_of(layer, ref.to_rank));
    for (int slot = 0; slot < layer.placement.slots(); ++slot) {
      const auto& load = traffic.load[static_cast<std::size_t>(rank_of_slot(layer, slot))];
      REQUIRE(load.busiest >= ref.slot_pairs[static_cast<std::size_t>(slot)]);
    }
    const auto rows = rows_of(layer, ref.pairs);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      REQUIRE(traffic.load[r].pairs == rows[r]);
    }

    // No token is lost: pairs computed + zero-cost picks = tokens * top_k.
    std::int64_t pairs = 0;
    for (const ExpertLoad& load : traffic.load) {
      pairs += load.pairs;
    }
    REQUIRE(pairs + counts.zero_cost_picks == layer.layout.tokens() * layer.top_k);

    replicated += static_cast<int>(layer.placement.slots() > layer.experts);
    zero_cost += static_cast<int>(ref.zero_cost_picks > 0);
    several_nodes += static_cast<int>(layer.nodes() > 1);
    deduplicated += static_cast<int>(ref.to_rank != ref.pairs);
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
// Tokens with an expert on rank 0: one of its own, two of rank 1's; on rank 1: all four.
TEST_CASE("a layer counted by hand", "[engine][traffic][unit]") {
  const std::vector<std::uint16_t> ids{0, 1, 1, 2, 0, 2, 0, 1};
  const LayerPicks picks{ids, 2, 3};
  const TokenLayout layout = even_layout(2, 2);
  ExpertPlacement placement{3, 2, {0, 1, 3}, {{0, 1, 2}}};
  const std::vector<int> node_of_rank{0, 0};
  const ReplicaChoice replicas(placement, 0, node_of_rank);
  const LayerTraffic traffic = traffic_of(picks, layout, replicas);
  CHECK(traffic.pairs.near_out == std::vector<std::int64_t>{3, 2});
  CHECK(traffic.pairs.near_in == std::vector<std::int64_t>{2, 3});
  CHECK(traffic.distinct.per_rank.near_out == std::vector<std::int64_t>{2, 2});
  CHECK(traffic.distinct.rows == std::vector<std::int64_t>{3, 4});
  CHECK(traffic.pairs.far_copies() == 0);
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
  const ReplicaChoice replicas(placement, 0, node_of_rank);
  TrafficCounter counter;
  counter.begin(replicas, false, traffic);
  counter.add(counts, 1);
  counter.finish();
  CHECK(traffic.load[0].pairs == 386);
  CHECK(traffic.load[0].touched_experts == 4);
  CHECK(traffic.load[0].tiles_64 == 1 + 2 + 2 + 3);
  CHECK(traffic.load[0].tiles_128 == 1 + 1 + 1 + 2);
  CHECK(traffic.load[0].busiest == 129);
}

// Picks counted from tokens, or handed over as counts: nobody can tell which. And parts add up.
TEST_CASE("counts and parts make the traffic of their tokens", "[engine][traffic][property]") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    CAPTURE(seed);
    const RandomLayer layer = random_layer(seed);
    const ReplicaChoice replicas(layer.placement, 0, layer.node_of_rank);
    const LayerTraffic expected = traffic_of(layer.picks(), layer.layout, replicas);
    ExpertCounts counts;
    count_experts(layer.picks(), layer.layout, counts);
    LayerTraffic from_counts;
    TrafficCounter counter;
    counter.begin(replicas, false, from_counts);
    counter.add(counts, 1);
    counter.finish();
    REQUIRE(same(from_counts.pairs, expected.pairs));
    for (int r = 0; r < layer.ranks; ++r) {
      REQUIRE(from_counts.load[static_cast<std::size_t>(r)].busiest ==
              expected.load[static_cast<std::size_t>(r)].busiest);
      REQUIRE(from_counts.load[static_cast<std::size_t>(r)].pairs ==
              expected.load[static_cast<std::size_t>(r)].pairs);
    }

    LayerTraffic three_times;
    counter.begin(replicas, true, three_times);
    counter.add(layer.picks(), layer.layout, 2);
    counter.add(layer.picks(), layer.layout, 1);
    counter.finish();
    REQUIRE(three_times.pairs.copies() == 3 * expected.pairs.copies());
    REQUIRE(three_times.distinct.per_node.copies() == 3 * expected.distinct.per_node.copies());
    REQUIRE(three_times.distinct.rows[0] == 3 * expected.distinct.rows[0]);
    REQUIRE(three_times.load[0].busiest == 3 * expected.load[0].busiest);
  }
}

TEST_CASE("a rank's tokens are split evenly over its units", "[engine][traffic][unit]") {
  const TokenLayout units = unit_layout({{0, 7, 7, 9}}, 3);
  CHECK(units.first == std::vector<std::int64_t>{0, 3, 5, 7, 7, 7, 7, 8, 9, 9});
}

// Two groups of two ranks with 1, 0, 2 and 1 tokens: every group counts its own.
TEST_CASE("ranks may have different numbers of tokens, or none", "[engine][traffic][unit]") {
  RoutedPart part;
  part.tokens.layers = 1;
  part.tokens.experts = 2;
  part.tokens.top_k = 1;
  part.tokens.ids = {1, 1, 0, 0};
  part.tokens.request = {0, 1, 2, 3};
  part.layout.first = {0, 1, 1, 3, 4};
  const RankMap ranks({.attention_dp = 4, .expert_ep = 2, .expert_dp = 2}, 4);
  const ExpertPlacement placement{2, 2, {0, 1, 2}, {{0, 1}}};
  const std::vector<int> one_node{0, 0};
  const auto replicas = replica_choices(placement, one_node);
  const StepTraffic traffic = count_parts(std::span(&part, 1), ranks, replicas, true, 1);
  CHECK(traffic.home[0].first == std::vector<std::int64_t>{0, 1, 1});
  CHECK(traffic.home[1].first == std::vector<std::int64_t>{0, 2, 3});
  CHECK(traffic.most_tokens() == 2);
  CHECK(traffic.most_pairs() == 2);
  const auto& layer = traffic.layers[0];
  CHECK(layer[0].pairs.near_out == std::vector<std::int64_t>{1, 0});
  CHECK(layer[0].load[1].pairs == 1);
  CHECK(layer[1].pairs.near_out == std::vector<std::int64_t>{1, 1});
  CHECK(layer[1].load[0].pairs == 2);
  CHECK(layer[1].distinct.rows == std::vector<std::int64_t>{2, 1});
}

TEST_CASE("traffic refuses sizes that disagree", "[engine][traffic][unit]") {
  const std::vector<std::uint16_t> ids(7);
  ExpertCounts counts;
  CHECK_THROWS_AS(count_experts({ids, 2, 4}, even_layout(2, 2), counts), InvariantError);
  ExpertPlacement forgotten{3, 1, {0, 2}, {{0, 1}}};  // nobody holds expert 2
  const std::vector<int> node_of_rank{0};
  CHECK_THROWS_AS(ReplicaChoice(forgotten, 0, node_of_rank), InvariantError);
  const ExpertPlacement held{3, 3, {0, 1, 2, 3}, {{0, 1, 2}}};
  const std::vector<int> uneven{0, 0, 1};
  CHECK_THROWS_AS(ReplicaChoice(held, 0, uneven).grid(), InvariantError);
}

}  // namespace moesim
