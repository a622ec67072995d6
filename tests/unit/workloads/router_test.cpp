#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "workloads/generator/router.h"

namespace moesim {
namespace {

// Odd seeds: few distinct values, so that ties are drawn too. Even ones: hardly a tie, as in life.
std::vector<float> random_scores(int experts, std::uint64_t seed) {
  Rng rng = RngStreams(seed).stream("test/scores");
  std::vector<float> scores;
  for (int e = 0; e < experts; ++e) {
    scores.push_back(seed % 2 == 1 ? static_cast<float>(rng.below(40)) - 20.0F
                                   : static_cast<float>(rng.normal()));
  }
  return scores;
}

// Sorting whole ranges: the obvious slow router.
std::vector<std::uint16_t> obvious(const RouterSpec& router, const std::vector<float>& scores) {
  std::vector<std::uint16_t> order(scores.size());
  for (std::size_t e = 0; e < order.size(); ++e) {
    order[e] = static_cast<std::uint16_t>(e);
  }
  std::ranges::stable_sort(order, [&](auto a, auto b) { return scores[a] > scores[b]; });
  const auto size = scores.size() / static_cast<std::size_t>(router.groups);
  std::vector<std::pair<float, std::size_t>> groups;
  for (std::size_t g = 0; g < static_cast<std::size_t>(router.groups); ++g) {
    std::vector<float> own(scores.begin() + static_cast<std::ptrdiff_t>(g * size),
                           scores.begin() + static_cast<std::ptrdiff_t>((g + 1) * size));
    std::ranges::sort(own, std::greater<>());
    groups.emplace_back(own[0] + (own.size() > 1 ? own[1] : 0.0F), g);
  }
  std::ranges::stable_sort(groups, [](auto& a, auto& b) { return a.first > b.first; });
  std::set<std::size_t> allowed;
  for (int g = 0; g < router.top_groups; ++g) {
    allowed.insert(groups[static_cast<std::size_t>(g)].second);
  }
  std::vector<int> taken(static_cast<std::size_t>(router.groups));
  std::vector<std::uint16_t> ids;
  for (const auto e : order) {
    const auto g = e / size;
    const bool open =
        router.per_group_k > 0 ? taken[g]++ < router.per_group_k : allowed.contains(g);
    if (open && ids.size() < static_cast<std::size_t>(router.top_k)) {
      ids.push_back(e);
    }
  }
  return ids;
}

}  // namespace

TEST_CASE("routers choose what sorting everything would", "[workloads][property]") {
  const RouterSpec router = GENERATE(
      RouterSpec{.layers = 1, .experts = 64, .top_k = 6},
      RouterSpec{.layers = 1, .experts = 8, .top_k = 2},
      RouterSpec{.layers = 1, .experts = 5, .top_k = 5},
      RouterSpec{.layers = 1, .experts = 256, .top_k = 8, .groups = 8, .top_groups = 4},
      RouterSpec{.layers = 1, .experts = 128, .top_k = 16},
      RouterSpec{.layers = 1, .experts = 512, .top_k = 10},
      RouterSpec{.layers = 1, .experts = 64, .top_k = 4, .groups = 4, .top_groups = 2},
      RouterSpec{.layers = 1, .experts = 256, .top_k = 8, .groups = 16, .top_groups = 4},
      RouterSpec{.layers = 1, .experts = 128, .top_k = 12, .groups = 8, .top_groups = 4},
      RouterSpec{.layers = 1, .experts = 12, .top_k = 3, .groups = 12, .top_groups = 3},
      RouterSpec{
          .layers = 1, .experts = 64, .top_k = 8, .groups = 8, .top_groups = 8, .per_group_k = 1},
      RouterSpec{
          .layers = 1, .experts = 24, .top_k = 6, .groups = 3, .top_groups = 3, .per_group_k = 2});
  const auto* kernels = GENERATE(from_range(detail::all_lane_kernels()));
  ExpertSelector selector(router, *kernels);
  std::vector<std::uint16_t> ids(static_cast<std::size_t>(router.top_k));
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const auto scores = random_scores(router.experts, seed);
    selector.select(scores, ids);
    auto got = ids;
    auto want = obvious(router, scores);
    if (router.per_group_k > 0) {  // equal scores of different groups may stand in any order
      std::ranges::sort(got);
      std::ranges::sort(want);
    }
    CAPTURE(kernels->name, router.experts, router.groups, seed);
    REQUIRE(got == want);
  }
}

TEST_CASE("routers without sense are refused", "[workloads][unit]") {
  const auto bad = GENERATE(
      RouterSpec{.layers = 0, .experts = 8, .top_k = 2},
      RouterSpec{.layers = 1, .experts = 8, .top_k = 9},
      RouterSpec{.layers = 1, .experts = 8, .top_k = 2, .groups = 3, .top_groups = 1},
      RouterSpec{.layers = 1, .experts = 8, .top_k = 2, .groups = 2, .top_groups = 3},
      RouterSpec{.layers = 1, .experts = 8, .top_k = 3, .groups = 4, .top_groups = 1},
      RouterSpec{
          .layers = 1, .experts = 8, .top_k = 3, .groups = 4, .top_groups = 4, .per_group_k = 1});
  CHECK_THROWS_AS(check_router(bad, "model.json#/router"), ConfigError);
}

}  // namespace moesim
