#include "calibrate/tables/load_generator.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

using namespace moesim;

namespace {

std::int64_t sum(const std::vector<std::int64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

LoadCase random_case(Rng& rng) {
  const std::int64_t experts = std::int64_t{8} << rng.below(6);
  LoadCase load;
  load.experts = experts;
  load.top_k = 1 + static_cast<std::int64_t>(rng.below(8));
  load.tokens = 1 + static_cast<std::int64_t>(rng.below(std::uint64_t{1} << rng.below(12)));
  load.ranks = std::int64_t{1} << rng.below(4);
  load.exponent = rng.below(2) == 0 ? 1.01 : 1.2;
  return load;
}

}  // namespace

TEST_CASE("power-law loads hold every pair and no token twice per expert",
          "[calibrate][property]") {
  Rng shapes(3);
  int clamped = 0;
  int few = 0;
  for (int draw = 0; draw < 300; ++draw) {
    const LoadCase load = random_case(shapes);
    CAPTURE(load.tokens, load.top_k, load.experts, load.ranks, load.exponent);
    Rng rng(static_cast<std::uint64_t>(draw));
    const auto counts = power_law_counts(load, rng);
    REQUIRE(sum(counts) == load.tokens * load.top_k);
    REQUIRE(*std::ranges::max_element(counts) <= load.tokens);
    REQUIRE(*std::ranges::min_element(counts) >= 0);
    clamped += *std::ranges::max_element(counts) == load.tokens ? 1 : 0;
    few += load.tokens * load.top_k <= load.experts ? 1 : 0;
  }
  CHECK(clamped > 20);  // both hard shapes were drawn
  CHECK(few > 20);
}

// E = 8, k = 2: stride 4, token t goes to t and t + 4 (mod 8). Two tokens (< stride) start 2 apart:
// experts 0, 4 and 2, 6.
TEST_CASE("balanced loads follow the stride", "[calibrate][unit]") {
  CHECK(balanced_counts({4, 2, 8, 1, 0}) == std::vector<std::int64_t>(8, 1));
  CHECK(balanced_counts({2, 2, 8, 1, 0}) == std::vector<std::int64_t>{1, 0, 1, 0, 1, 0, 1, 0});
  LoadGenerator loads(1);
  const MeanLoad& all = loads.load({256, 2, 8, 1, 0});
  CHECK(all.pairs == 512);
  CHECK(all.touched == 8);
  CHECK(all.tiles_64 == 8);
  CHECK(all.tiles_128 == 8);
  CHECK(all.busiest == 64);
}

// 4 groups of 4 experts, of which the first 2 are kept: token t's choices t and t + 4 stay, t + 8
// and t + 12 go to the first experts of the two groups that it has not chosen.
TEST_CASE("choices outside the kept groups go to the first experts", "[calibrate][unit]") {
  const LoadCase load{4, 4, 16, 4, 0, 4, 2};
  CHECK(group_limited_counts(load, balanced_counts(load)) ==
        std::vector<std::int64_t>{4, 4, 3, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0});
  LoadGenerator loads(1);
  CHECK(loads.load(load).pairs == 12);  // three per token, although there are four ranks
  CHECK(loads.load({4, 4, 16, 4, 0}).pairs == 4);
  Rng rng(1);
  const LoadCase skewed{512, 8, 256, 32, 1.2, 8, 4};
  const auto drawn = power_law_counts(skewed, rng);
  const auto counts = group_limited_counts(skewed, drawn);
  CHECK(sum(counts) == 512 * 8);
  CHECK(*std::ranges::max_element(counts) <= 512);
}

TEST_CASE("the timed rank is the most loaded one", "[calibrate][unit]") {
  LoadGenerator loads(1);
  const LoadCase skewed{512, 8, 256, 32, 1.2};
  const MeanLoad& load = loads.load(skewed);
  CHECK(load.pairs > 1.5 * 512 * 8 / 32);  // the mean rank has 128
  CHECK(load.touched <= 8);
  CHECK(load.busiest <= 512);
  LoadGenerator again(1);
  again.load({64, 8, 256, 32, 1.2});  // other cases do not shift the draws
  CHECK(again.load(skewed).pairs == load.pairs);
  LoadGenerator other(2);
  CHECK(other.load(skewed).pairs != load.pairs);
}

// 10 experts with 96 pairs on average, the busiest 128: evenly from 64 to 128, all but the ends of
// two tiles of 64 rows and of one of 128.
TEST_CASE("a load is spread between its mean's mirror and the busiest", "[calibrate][unit]") {
  const MeanLoad load = spread_load(960, 10, 128);
  CHECK(load.pairs == 960);
  CHECK(load.touched == 10);
  CHECK(load.busiest == 128);
  CHECK(load.tiles_64 == Approx(20));
  CHECK(load.tiles_128 == Approx(10));
  CHECK(spread_load(0, 0, 0).tiles_64 == 0);
}

TEST_CASE("the draw that fits the recorded tokens stands for the timed one", "[calibrate][unit]") {
  const LoadGenerator loads(1);
  const LoadCase load{4096, 8, 256, 16, 1.2};
  const double mean = 4096.0 * 8 / 16;
  const MeanLoad skewed = loads.received(load, {256, false, 3500});
  const MeanLoad balanced = loads.received(load, {256, true, 1700});
  const MeanLoad copied = loads.received(load, {288, true, 1700});
  // One rank's share of a skewed load is far above the mean, packing brings it close.
  CHECK(skewed.pairs > 1.3 * mean);
  CHECK(balanced.pairs < skewed.pairs);
  CHECK(copied.busiest < balanced.busiest);
  for (const MeanLoad& rank : {skewed, balanced, copied}) {
    CHECK(rank.touched <= 18);
    CHECK(rank.tiles_64 >= rank.pairs / 64);
    CHECK(rank.tiles_64 <= rank.pairs / 64 + rank.touched);
    CHECK(rank.tiles_128 <= rank.tiles_64);
  }
  // With twice as many recorded tokens there are about twice the pairs.
  CHECK(loads.received(load, {256, true, 3400}).pairs == Approx(2 * balanced.pairs).epsilon(0.5));
  // Uniform loads leave nothing to draw: 16 of 256 experts, 8 pairs per token over 16 ranks.
  CHECK(loads.received({4096, 8, 256, 16, 0}, {256, true, 2048}).pairs ==
        Approx(2048).epsilon(1e-3));
}
