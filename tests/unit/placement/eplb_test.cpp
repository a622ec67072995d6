#include <algorithm>
#include <numeric>

#include <catch2/catch.hpp>

#include "placement/evaluate.h"
#include "placement/published/eplb.h"
#include "sim/core/error.h"
#include "sim/core/rng.h"

using namespace moesim;

namespace {

using Loads = std::vector<std::vector<double>>;
using Ids = std::vector<std::vector<std::int32_t>>;

// The example in the README of deepseek-ai/EPLB.
const Loads published_loads{{90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86},
                            {20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27}};

PlacementProblem problem_of(const Loads& loads, int slots_per_gpu, int gpus, int gpus_per_node) {
  PlacementProblem problem;
  problem.layers = static_cast<int>(loads.size());
  problem.experts = static_cast<int>(loads.front().size());
  problem.devices = gpus;
  problem.devices_per_node = gpus_per_node;
  problem.capacity.assign(static_cast<std::size_t>(gpus), slots_per_gpu);
  problem.redundant = slots_per_gpu * gpus - problem.experts;
  problem.loads = loads;
  check_problem(problem, "test");
  return problem;
}

Loads random_loads(std::uint64_t seed, int layers, int experts) {
  Rng rng(seed);
  Loads loads(static_cast<std::size_t>(layers));
  for (auto& layer : loads) {
    for (int e = 0; e < experts; ++e) {
      layer.push_back(std::floor(1000.0 * rng.gamma(0.6)));
    }
  }
  return loads;
}

}  // namespace

TEST_CASE("EPLB gives the published placement", "[placement][unit]") {
  const EplbResult result = rebalance_experts(published_loads, 16, 4, 2, 8);
  CHECK(result.phy2log == Ids{{5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1},
                              {7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1}});
  const PlacementProblem problem = problem_of(published_loads, 2, 8, 4);
  const PlacementScore score = evaluate(problem, placement_of(result, 8));
  // 156 / 129.125 and 179.5 / 144.5.
  CHECK(score.layer_max[0] / score.layer_mean[0] == Approx(1.2081).epsilon(1e-4));
  CHECK(score.layer_max[1] / score.layer_mean[1] == Approx(1.2422).epsilon(1e-4));
}

TEST_CASE("EPLB balances globally where groups do not fit the nodes", "[placement][unit]") {
  // Three groups on two nodes: one big node. 138.5 and 172 by an independent implementation.
  const EplbResult result = rebalance_experts(published_loads, 16, 3, 2, 8);
  const PlacementProblem problem = problem_of(published_loads, 2, 8, 4);
  const PlacementScore score = evaluate(problem, placement_of(result, 8));
  CHECK(score.layer_max == std::vector<double>{138.5, 172.0});
  CHECK(result.phy2log == rebalance_experts(published_loads, 16, 1, 1, 8).phy2log);
}

TEST_CASE("EPLB breaks ties towards the lower index", "[placement][unit]") {
  // Equal loads: order 0 1 2 3, packs alternate 0 1, then (equal weights again) 0 1.
  CHECK(rebalance_experts({{5, 5, 5, 5}}, 4, 1, 1, 2).phy2log == Ids{{0, 2, 1, 3}});
  // The two extra replicas go to expert 0, then to expert 1.
  CHECK(rebalance_experts({{5, 5, 5, 5}}, 6, 1, 1, 1).logcnt == Ids{{2, 2, 1, 1}});
  // A pack that takes one item: nothing is sorted.
  CHECK(rebalance_experts({{1, 2, 3}}, 3, 1, 1, 3).phy2log == Ids{{0, 1, 2}});
}

TEST_CASE("EPLB's three arrays say the same", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{60}));
  CAPTURE(seed);
  Rng rng(seed);
  const int nodes = 1 + static_cast<int>(rng.below(3));
  const int groups = nodes * (1 + static_cast<int>(rng.below(2)));
  const int gpus = nodes * (1 + static_cast<int>(rng.below(4)));
  const int experts = groups * (1 + static_cast<int>(rng.below(6)));
  const int slots = gpus * ((experts + gpus - 1) / gpus + static_cast<int>(rng.below(3)));
  const Loads loads = random_loads(seed, 3, experts);
  const EplbResult result = rebalance_experts(loads, slots, groups, nodes, gpus);
  std::int32_t most = 0;
  for (const auto& count : result.logcnt) {
    most = std::max(most, *std::ranges::max_element(count));
  }
  for (std::size_t l = 0; l < loads.size(); ++l) {
    std::vector<int> seen(static_cast<std::size_t>(slots), 0);
    for (std::size_t e = 0; e < loads[l].size(); ++e) {
      REQUIRE(result.log2phy[l][e].size() == static_cast<std::size_t>(most));
      for (std::size_t r = 0; r < result.log2phy[l][e].size(); ++r) {
        const std::int32_t slot = result.log2phy[l][e][r];
        if (std::cmp_less(r, result.logcnt[l][e])) {
          REQUIRE(slot >= 0);
          ++seen[static_cast<std::size_t>(slot)];
          CHECK(result.phy2log[l][static_cast<std::size_t>(slot)] == static_cast<int>(e));
        } else {
          CHECK(slot == -1);
        }
      }
    }
    CHECK(std::ranges::all_of(seen, [](int n) { return n == 1; }));
    // Experts of a group, and all their replicas, share a node.
    const int node_slots = slots / nodes;
    for (std::size_t e = 0; e < loads[l].size(); ++e) {
      const std::size_t first = e - e % (loads[l].size() / static_cast<std::size_t>(groups));
      for (int r = 0; r < result.logcnt[l][e]; ++r) {
        CHECK(result.log2phy[l][e][static_cast<std::size_t>(r)] / node_slots ==
              result.log2phy[l][first][0] / node_slots);
      }
    }
  }
}

TEST_CASE("EPLB's replicas leave no smaller largest share", "[placement][property]") {
  // Greedy replication is optimal for max load / replicas: with one GPU per slot the busiest GPU
  // is at that optimum, here found by bisection over the limit.
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{40}));
  CAPTURE(seed);
  const Loads loads = random_loads(seed, 1, 10);
  const int slots = 10 + static_cast<int>(seed % 9);
  const EplbResult result = rebalance_experts(loads, slots, 1, 1, slots);
  double worst = 0.0;
  double least = 0.0;  // the smallest limit that `slots` replicas can meet
  for (std::size_t e = 0; e < 10; ++e) {
    worst = std::max(worst, loads[0][e] / result.logcnt[0][e]);
    for (int r = 1; r <= slots; ++r) {
      const double limit = loads[0][e] / r;
      if (limit == 0.0) {
        continue;  // of an expert that nobody asks for
      }
      int needed = 0;
      for (const double load : loads[0]) {
        needed += std::max(1, static_cast<int>(std::ceil(load / limit - 1e-9)));
      }
      if (needed <= slots && (least == 0.0 || limit < least)) {
        least = limit;
      }
    }
  }
  CHECK(worst == Approx(least).epsilon(1e-6));
}

TEST_CASE("the EPLB solver takes the better of hierarchical and global", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{30}));
  CAPTURE(seed);
  const PlacementProblem problem = problem_of(random_loads(seed, 2, 16), 3, 8, 4);
  REQUIRE(unfit_eplb(problem).empty());
  SolverRun run{SolveOptions{}};
  const SolverAnswer answer = solve_eplb(problem, run);
  check_feasible(problem, answer.placement, "test");
  const double found = evaluate(problem, answer.placement).objective;
  for (const int nodes : {1, 2}) {
    const auto plain = placement_of(rebalance_experts(problem.loads, 24, nodes, nodes, 8), 8);
    CHECK(found <= evaluate(problem, plain).objective);
  }
  CHECK(run.history().back().objective == found);
}

TEST_CASE("EPLB says what it is unfit for", "[placement][unit]") {
  const PlacementProblem good = problem_of(published_loads, 2, 8, 4);
  CHECK(unfit_eplb(good).empty());
  PlacementProblem uneven = good;
  uneven.capacity[0] = 3;
  uneven.capacity[1] = 1;
  CHECK(unfit_eplb(uneven).find("equally many") != std::string::npos);
  PlacementProblem loose = good;
  loose.exact_capacity = false;
  loose.redundant = 1;
  CHECK(unfit_eplb(loose).find("every slot") != std::string::npos);
  PlacementProblem ruled = good;
  ruled.forbidden.assign(2 * 12 * 8, 0);
  CHECK(unfit_eplb(ruled).find("forbidden") != std::string::npos);
  CHECK_THROWS_AS(rebalance_experts(published_loads, 15, 1, 1, 8), InvariantError);
}
