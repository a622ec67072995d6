#include "sim/engine/exchange/expected_traffic.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "random_layer.h"
#include "sim/engine/exchange/expected_distinct.h"

namespace moesim {
namespace {

std::int64_t sum(const std::vector<std::int64_t>& values) {
  return std::accumulate(values.begin(), values.end(), std::int64_t{0});
}

// Largest difference, in means of b.
double error_of(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
  REQUIRE(a.size() == b.size());
  const double mean = static_cast<double>(sum(b)) / static_cast<double>(b.size());
  double most = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    most = std::max(most, std::abs(static_cast<double>(a[i] - b[i])) / mean);
  }
  return most;
}

}  // namespace

// Three prompts of five tokens on two units: eight and seven, the second prompt cut.
TEST_CASE("units share a rank's sequences as they share its tokens", "[engine][traffic][unit]") {
  const RankMap ranks({.attention_tp = 2, .attention_dp = 1, .expert_ep = 2}, 2);
  const StepBatch batch(RankBatch{{{Phase::prefill, 3, 5, 5}, {Phase::decode, 2, 1, 9}}}, 1);
  const auto sources = unit_sources(batch, ranks, 0);
  REQUIRE(sources.size() == 2);
  std::vector<std::vector<std::int64_t>> taken;
  for (const SourceTokens& source : sources) {
    auto& runs = taken.emplace_back();
    for (const auto& run : source) {
      runs.push_back(run.sequences);
      runs.push_back(run.tokens);
    }
  }
  CHECK(taken[0] == std::vector<std::int64_t>{1, 5, 1, 4});
  CHECK(taken[1] == std::vector<std::int64_t>{1, 1, 1, 5, 2, 1});
}

// Many tokens of one kind: what others of that kind say of their distinct destinations holds.
TEST_CASE("distinct copies follow from other tokens of the same kind",
          "[engine][traffic][property]") {
  for (const int per_node : {1, 4}) {
    CAPTURE(per_node);
    Rng rng = RngStreams(5).stream("expected");
    RandomLayer layer;
    layer.ranks_per_node = per_node;
    layer.ranks = 3 * per_node;
    layer.experts = 24;
    layer.top_k = 6;
    layer.layout = even_layout(layer.ranks, 3000);
    std::vector<std::uint16_t> all(24);
    std::iota(all.begin(), all.end(), std::uint16_t{0});
    const auto draw_tokens = [&](std::int64_t tokens) {
      std::vector<std::uint16_t> ids;
      for (std::int64_t t = 0; t < tokens; ++t) {
        shuffle(std::span(all), rng);
        ids.insert(ids.end(), all.begin(), all.begin() + 6);
      }
      return ids;
    };
    layer.ids = draw_tokens(layer.layout.tokens());
    for (int r = 0; r < layer.ranks; ++r) {
      layer.node_of_rank.push_back(r / per_node);
    }
    layer.placement = random_placement(rng, 24, layer.ranks, 24 / layer.ranks + 2);
    const ReplicaChoice replicas(layer.placement, 0, layer.node_of_rank);
    LayerTraffic counted;
    TrafficCounter counter;
    counter.begin(replicas, true, counted);
    counter.add(layer.picks(), layer.layout, 1);
    counter.finish();

    const auto reference = draw_tokens(40000);
    const DistinctShares shares = distinct_shares({reference, 6, 24}, replicas);
    ExpertCounts counts;
    count_experts(layer.picks(), layer.layout, counts);
    DistinctTraffic expected;
    expect_distinct(counts, replicas, shares, expected);
    CHECK(error_of(expected.rows, counted.distinct.rows) < 0.02);
    CHECK(error_of(expected.per_rank.far_in, counted.distinct.per_rank.far_in) < 0.02);
    CHECK(error_of(expected.per_rank.far_out, counted.distinct.per_rank.far_out) < 0.03);
    // A source whose replicas lie otherwise than the mean source's differs; their sum does not.
    CHECK(error_of(expected.per_rank.between, counted.distinct.per_rank.between) < 0.1);
    CHECK(error_of(expected.per_node.far_out, counted.distinct.per_node.far_out) < 0.1);
    CHECK(error_of(expected.per_node.far_in, counted.distinct.per_node.far_in) < 0.1);
    CHECK(error_of({sum(expected.per_node.far_in)}, {sum(counted.distinct.per_node.far_in)}) <
          0.01);
    CHECK(error_of({sum(expected.per_rank.far_in)}, {sum(counted.distinct.per_rank.far_in)}) <
          0.01);
    if (per_node > 1) {
      CHECK(error_of(expected.per_rank.near_in, counted.distinct.per_rank.near_in) < 0.03);
      CHECK(error_of(expected.per_node.near_out, counted.distinct.per_node.near_out) < 0.04);
      CHECK(error_of(expected.per_node.near_in, counted.distinct.per_node.near_in) < 0.04);
    }
  }
}

// Unequal and idle ranks in two groups; no pick is lost, and the layout is that of tokens.
TEST_CASE("expected traffic has the batch's tokens and all their pairs",
          "[engine][traffic][property]") {
  const RouterSpec router{.layers = 3, .experts = 16, .top_k = 4};
  const auto source = make_routing_source("power_law:0.5", router, {}, "test");
  const auto statistics = source->statistics(1);
  const RankMap ranks({.attention_dp = 8, .expert_ep = 4, .expert_dp = 2}, 8);
  std::vector<RankBatch> batches;
  for (int r = 0; r < 8; ++r) {
    batches.emplace_back();
    if (r != 5) {
      batches.back().sequences.push_back({Phase::decode, 40 + 10 * r, 1, 100});
    }
  }
  const StepBatch batch(batches);
  Rng rng = RngStreams(3).stream("placement");
  ExpertPlacement placement = random_placement(rng, 16, 4, 5);
  placement.slot_expert.resize(3, placement.slot_expert.front());
  const std::vector<int> nodes{0, 0, 1, 1};
  const auto replicas = replica_choices(placement, nodes);
  for (const bool distinct : {false, true}) {
    std::vector<DistinctShares> shares;
    const StepTraffic traffic =
        expected_traffic(*statistics, batch, ranks, replicas, distinct, 1, shares);
    CHECK(traffic.home[0].first == std::vector<std::int64_t>{0, 40, 90, 150, 220});
    CHECK(traffic.home[1].first == std::vector<std::int64_t>{0, 80, 80, 180, 290});
    for (const auto& layer : traffic.layers) {
      for (std::size_t g = 0; g < 2; ++g) {
        std::int64_t pairs = 0;
        for (const ExpertLoad& load : layer[g].load) {
          pairs += load.pairs;
        }
        CHECK(pairs == 4 * traffic.home[g].tokens());
        CHECK(sum(layer[g].pairs.near_out) == sum(layer[g].pairs.near_in));
        CHECK(sum(layer[g].pairs.far_out) == sum(layer[g].pairs.far_in));
        CHECK(layer[g].distinct.rows.empty() != distinct);
        if (distinct) {
          CHECK(sum(layer[g].distinct.rows) < pairs);
          CHECK(sum(layer[g].distinct.rows) > traffic.home[g].tokens());
        }
      }
    }
    const StepTraffic again =
        expected_traffic(*statistics, batch, ranks, replicas, distinct, 4, shares);
    CHECK(again.layers[2][1].pairs.far_in == traffic.layers[2][1].pairs.far_in);
  }
}

}  // namespace moesim
