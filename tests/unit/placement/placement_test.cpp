#include "placement/placement.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

#include "placement/heuristics/homes.h"
#include "placement/replication/replicas.h"
#include "placement/solver.h"
#include "sim/core/error.h"
#include "sim/core/rng.h"

using namespace moesim;

namespace {

PlacementProblem random_problem(std::uint64_t seed) {
  Rng rng(seed);
  PlacementProblem problem;
  problem.layers = 1 + static_cast<int>(rng.below(3));
  problem.devices = 1 + static_cast<int>(rng.below(12));
  problem.devices_per_node = problem.devices;
  problem.experts = 1 + static_cast<int>(rng.below(40));
  problem.redundant = static_cast<int>(rng.below(20));
  for (int l = 0; l < problem.layers; ++l) {
    problem.loads.emplace_back();
    for (int e = 0; e < problem.experts; ++e) {
      problem.loads.back().push_back(rng.gamma(0.7));
    }
  }
  return problem;
}

std::vector<int> copies(const ExpertPlacement& placement, std::size_t layer) {
  std::vector<int> count(static_cast<std::size_t>(placement.experts), 0);
  for (const auto e : placement.slot_expert[layer]) {
    if (e >= 0) {
      ++count[static_cast<std::size_t>(e)];
    }
  }
  return count;
}

ExpertPlacement placed(const std::string& rule, PlacementProblem problem) {
  problem.set_even_capacity();
  SolverRun run({});
  return without_twins(find_placement_solver(rule, "test").solve(problem, run).placement);
}

}  // namespace

TEST_CASE("a fixed rule gives every expert a home and spreads homes evenly",
          "[placement][property]") {
  const std::string rule = GENERATE("contiguous", "round_robin");
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{60}));
  CAPTURE(rule, seed);
  auto problem = random_problem(seed);
  problem.redundant = 0;
  const auto placement = placed(rule, problem);
  CHECK_NOTHROW(check_placement(placement));
  for (std::size_t l = 0; l < placement.slot_expert.size(); ++l) {
    const auto count = copies(placement, l);
    CHECK(std::ranges::all_of(count, [](int n) { return n == 1; }));
    for (int d = 0; d < problem.devices; ++d) {  // no device holds more than the rounded-up average
      const auto begin = placement.slot_expert[l].begin() + placement.first_slot[std::size_t(d)];
      const auto end = placement.slot_expert[l].begin() + placement.first_slot[std::size_t(d) + 1];
      const auto held = std::count_if(begin, end, [](int e) { return e >= 0; });
      CHECK(held <= (problem.experts + problem.devices - 1) / problem.devices);
    }
  }
}

TEST_CASE("redundant slots go to the experts with the most load per replica",
          "[placement][property]") {
  const std::string rule = GENERATE("contiguous", "round_robin");
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{60}));
  CAPTURE(rule, seed);
  const auto problem = random_problem(seed);
  const auto placement = placed(rule, problem);
  CHECK_NOTHROW(check_placement(placement));
  for (std::size_t l = 0; l < placement.slot_expert.size(); ++l) {
    const auto count = copies(placement, l);
    const auto& load = problem.loads[l];
    const int total = std::accumulate(count.begin(), count.end(), 0);
    CHECK(total <= problem.experts + problem.redundant);
    // A replica more would not have been better spent elsewhere: greedy optimality.
    if (total < problem.experts + problem.redundant) {
      continue;  // some replica found no device: nothing to compare
    }
    for (std::size_t a = 0; a < count.size(); ++a) {
      for (std::size_t b = 0; b < count.size(); ++b) {
        if (count[a] > 1 && count[b] < problem.devices) {
          CHECK(load[a] / (count[a] - 1) >= load[b] / count[b]);
        }
      }
    }
  }
}

TEST_CASE("DeepSeek's production shape fills two slots on each of 144 devices", "[placement]") {
  PlacementProblem problem;
  problem.layers = 1;
  problem.experts = 256;
  problem.devices = 144;
  problem.devices_per_node = 8;
  problem.redundant = 32;
  problem.loads.assign(1, std::vector<double>(256, 1.0));
  for (const std::string rule : {"contiguous", "round_robin"}) {
    const auto placement = placed(rule, problem);
    CHECK(placement.slots() == 288);
    CHECK(std::ranges::count(placement.slot_expert[0], -1) == 0);
  }
}

TEST_CASE("contiguous keeps neighbours together, round robin parts them", "[placement][unit]") {
  PlacementProblem problem;
  problem.layers = 1;
  problem.experts = 8;
  problem.devices = 4;
  problem.devices_per_node = 4;
  problem.loads.assign(1, std::vector<double>(8, 1.0));
  using Slots = std::vector<std::int32_t>;
  CHECK(placed("contiguous", problem).slot_expert[0] == Slots{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(placed("round_robin", problem).slot_expert[0] == Slots{0, 4, 1, 5, 2, 6, 3, 7});
}

TEST_CASE("slots that no layer uses are trimmed", "[placement][unit]") {
  const ExpertPlacement loose{.experts = 3,
                              .devices = 2,
                              .first_slot = {0, 3, 6},
                              .slot_expert = {{0, -1, 1, 2, -1, -1}, {0, -1, -1, 1, 2, -1}}};
  const ExpertPlacement tight = trimmed(loose);
  CHECK(tight.first_slot == std::vector<int>{0, 2, 4});
  CHECK(tight.slot_expert[0] == std::vector<std::int32_t>{0, 1, 2, -1});
  CHECK(tight.slot_expert[1] == std::vector<std::int32_t>{0, -1, 1, 2});
}

TEST_CASE("a broken placement is refused", "[placement][unit]") {
  ExpertPlacement placement{
      .experts = 2, .devices = 2, .first_slot = {0, 1, 2}, .slot_expert = {{0, 1}}};
  CHECK_NOTHROW(check_placement(placement));
  placement.slot_expert = {{0, 0}};  // expert 1 has no home
  CHECK_THROWS_AS(check_placement(placement), InvariantError);
  placement.first_slot = {0, 2, 2};
  placement.slot_expert = {{1, 1}};
  CHECK_THROWS_AS(check_placement(placement), InvariantError);
}
