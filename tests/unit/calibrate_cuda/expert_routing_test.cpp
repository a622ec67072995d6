#include "calibrate/cuda/host/expert_routing.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

#include "calibrate/tables/load_generator.h"
#include "sim/core/rng.h"

using namespace moesim;
using namespace moesim::bench;

namespace {

MoeCase random_case(Rng& rng) {
  MoeCase moe;
  moe.ep = std::int64_t{1} << rng.below(4);
  moe.experts = moe.ep << (1 + rng.below(5));
  moe.top_k = 1 + static_cast<std::int64_t>(rng.below(
                      static_cast<std::uint64_t>(std::min<std::int64_t>(8, moe.experts))));
  moe.tokens = 1 + static_cast<std::int64_t>(rng.below(std::uint64_t{1} << rng.below(11)));
  moe.exponent = std::vector<double>{0, 1.01, 1.2}[rng.below(3)];
  return moe;
}

std::vector<std::int64_t> histogram(const RankRouting& routing) {
  std::vector<std::int64_t> counts(routing.counts.size(), 0);
  for (const std::int32_t expert : routing.choices) {
    if (expert >= 0) {
      ++counts.at(static_cast<std::size_t>(expert));
    }
  }
  return counts;
}

bool repeats_an_expert(const RankRouting& routing, std::size_t top_k) {
  for (std::size_t first = 0; first < routing.choices.size(); first += top_k) {
    const auto begin = routing.choices.begin() + static_cast<std::ptrdiff_t>(first);
    std::vector<std::int32_t> chosen(begin, begin + static_cast<std::ptrdiff_t>(top_k));
    std::erase(chosen, -1);
    std::ranges::sort(chosen);
    if (std::ranges::adjacent_find(chosen) != chosen.end()) {
      return true;
    }
  }
  return false;
}

}  // namespace

TEST_CASE("the timed rank's tokens choose as its loads say", "[calibrate][property]") {
  Rng shapes(11);
  int crowded = 0;
  for (int draw = 0; draw < 200; ++draw) {
    const MoeCase moe = random_case(shapes);
    CAPTURE(draw, moe.tokens, moe.top_k, moe.experts, moe.ep, moe.exponent);
    const RankRouting routing = route_to_busiest_rank(moe, static_cast<std::uint64_t>(draw));
    REQUIRE(routing.counts.size() == static_cast<std::size_t>(moe.experts / moe.ep));
    REQUIRE(routing.choices.size() == static_cast<std::size_t>(moe.tokens * moe.top_k));
    REQUIRE(histogram(routing) == routing.counts);
    REQUIRE_FALSE(repeats_an_expert(routing, static_cast<std::size_t>(moe.top_k)));
    REQUIRE(routing.pairs == std::reduce(routing.counts.begin(), routing.counts.end()));
    // The busiest rank has at least the mean; the first rank of balanced loads at least one pair.
    REQUIRE(routing.pairs * (moe.exponent > 0 ? moe.ep : moe.tokens * moe.top_k) >=
            (moe.exponent > 0 ? moe.tokens * moe.top_k : 1));
    if (moe.ep == 1) {
      REQUIRE(routing.pairs == moe.tokens * moe.top_k);
    }
    crowded += touched_experts(routing) == moe.experts / moe.ep ? 1 : 0;
  }
  CHECK(crowded > 20);
  CHECK(crowded < 180);
}

// The load generator averages 8 draws of the same law; over many seeds the median of 8 lies near
// that average, the largest of 8 well above it.
TEST_CASE("the chosen draw is a typical one", "[calibrate][unit]") {
  const MoeCase moe{Format::bfloat16, 256, 7168, 2048, 8, 256, 1, 32, 1.2};
  constexpr int seeds = 40;
  double chosen = 0;
  double average = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    LoadGenerator loads(seed);
    average += loads.load({256, 8, 256, 32, 1.2}).pairs / seeds;
    chosen += static_cast<double>(route_to_busiest_rank(moe, seed).pairs) / seeds;
  }
  CHECK(chosen == Approx(average).epsilon(0.05));
}

TEST_CASE("moved experts keep their tokens and leave the last ones' weights",
          "[calibrate][property]") {
  Rng shapes(12);
  int disjoint = 0;
  for (int draw = 0; draw < 100; ++draw) {
    const MoeCase moe = random_case(shapes);
    const RankRouting routing = route_to_busiest_rank(moe, 1);
    const std::int64_t slots =
        moe.experts / moe.ep * (1 + static_cast<std::int64_t>(shapes.below(4)));
    const int set = static_cast<int>(shapes.below(50));
    CAPTURE(draw, slots, set);
    const RankRouting now = moved_to_slots(routing, slots, set);
    const RankRouting next = moved_to_slots(routing, slots, set + 1);
    REQUIRE(histogram(now) == now.counts);
    REQUIRE(now.pairs == routing.pairs);
    auto loads = routing.counts;
    loads.resize(static_cast<std::size_t>(slots), 0);
    std::ranges::sort(loads);
    auto moved = now.counts;
    std::ranges::sort(moved);
    REQUIRE(moved == loads);
    if (2 * touched_experts(routing) <= slots) {
      ++disjoint;
      for (std::size_t slot = 0; slot < now.counts.size(); ++slot) {
        REQUIRE((now.counts[slot] == 0 || next.counts[slot] == 0));
      }
    }
  }
  CHECK(disjoint > 20);
}
