// Exact solvers against enumeration, and bounds against exact solvers.
#include <catch2/catch.hpp>
#include <functional>

#include "placement/bounds/bounds.h"
#include "placement/evaluate.h"
#include "placement/optimise.h"
#include "placement/programs/chain_dp.h"
#include "placement/replication/replicas.h"
#include "tests/unit/placement/random_tokens.h"

using namespace moesim;
using moesim::testing::random_assignment;
using moesim::testing::RandomShape;
using moesim::testing::tokens_problem;

namespace {

RandomShape tiny_shape(std::uint64_t seed) {
  RandomShape shape;
  shape.comm = seed % 3 == 0   ? CommModel::dispatch
               : seed % 3 == 1 ? CommModel::interlayer
                               : CommModel::none;
  shape.layers = 2;
  shape.experts = 4 + static_cast<int>(seed % 2);
  shape.devices = seed % 4 == 0 ? 4 : 2;
  shape.devices_per_node = seed % 8 < 4 ? 2 : 1;
  shape.exact = seed % 2 == 0;
  shape.uneven = seed % 5 == 0;
  shape.forbidding = seed % 7 == 0;
  return shape;
}

// The least objective over all feasible assignments, one after the other.
double enumerated(const PlacementProblem& p) {
  Assignment devices(std::size_t(p.layers) * std::size_t(p.experts), 0);
  double least = 1e300;
  const std::function<void(std::size_t)> place = [&](std::size_t i) {
    if (i == devices.size()) {
      least = std::min(least, evaluate(p, placement_of(p, devices)).objective);
      return;
    }
    const int layer = static_cast<int>(i) / p.experts;
    const int expert = static_cast<int>(i) % p.experts;
    for (int g = 0; g < p.devices; ++g) {
      const auto used = std::count(devices.begin() + std::ptrdiff_t(layer) * p.experts,
                                   devices.begin() + std::ptrdiff_t(i), g);
      if (used < p.capacity[std::size_t(g)] && p.allowed(layer, expert, g)) {
        devices[i] = g;
        place(i + 1);
      }
    }
  };
  place(0);
  return least;
}

}  // namespace

TEST_CASE("dynamic programming finds the optimum", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{42}));
  CAPTURE(seed);
  const PlacementProblem p = tokens_problem(tiny_shape(seed), seed);
  SolverRun run({});
  const ItemAnswer answer = solve_chain_dp(p, run);
  const double optimum = enumerated(p);
  CHECK(answer.lower_bound == Approx(optimum).epsilon(1e-12));
  CHECK(evaluate(p, placement_of(p, answer.devices)).objective == Approx(optimum).epsilon(1e-12));
  CHECK_NOTHROW(check_feasible(p, placement_of(p, answer.devices), "test"));
}

TEST_CASE("no bound exceeds the optimum", "[placement][property][large]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{24}));
  CAPTURE(seed);
  RandomShape shape = tiny_shape(seed);
  shape.layers = 3;
  shape.experts = 6;
  shape.devices = seed % 2 == 0 ? 3 : 4;
  shape.devices_per_node = seed % 4 == 1 ? 2 : shape.devices;
  shape.forbidding = false;
  const PlacementProblem p = tokens_problem(shape, seed);
  SolverRun run({});
  const ItemAnswer exact = solve_chain_dp(p, run);
  // Multipliers aim at what the incumbent keeps: with a poor one they would go below what is
  // possible, if the bound let them.
  Rng rng(seed);
  const bool poor = GENERATE(false, true);
  const Assignment incumbent = poor ? random_assignment(p, rng) : exact.devices;
  const PlacementBound bound =
      placement_bound(p, placement_of(p, incumbent), GENERATE(0, 100), run);
  CHECK(bound.value <= exact.lower_bound * (1.0 + 1e-12));
  CHECK(bound.load <= exact.lower_bound * (1.0 + 1e-12));
  CHECK(bound.joint <= exact.lower_bound * (1.0 + 1e-12));
}

TEST_CASE("no bound exceeds a placement with replicas", "[placement][property][large]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{40}));
  CAPTURE(seed);
  RandomShape shape = tiny_shape(seed);
  shape.layers = 3;
  shape.experts = 6;
  shape.devices = 4;
  shape.devices_per_node = 2;
  shape.uneven = false;
  shape.forbidding = false;
  PlacementProblem p = tokens_problem(shape, seed);
  p.redundant = 2;
  p.capacity.assign(4, 2);
  p.exact_capacity = true;
  p.split = seed % 2 == 0 ? ReplicaSplit::even : ReplicaSplit::optimal;
  Rng rng(seed);
  double least = 1e300;
  SolverRun run({});
  ExpertPlacement best;
  for (int trial = 0; trial < 300; ++trial) {
    std::vector<std::vector<int>> counts;
    for (int l = 0; l < p.layers; ++l) {
      counts.emplace_back(6, 1);
      ++counts.back()[rng.below(6)];
      ++counts.back()[rng.below(6)];
    }
    const PlacementProblem items = expand_replicas(p, counts);
    const ExpertPlacement placement = placement_of(items, random_assignment(items, rng));
    const double objective = evaluate(p, placement).objective;
    if (objective < least) {
      least = objective;
      best = placement;
    }
  }
  CHECK(placement_bound(p, best, 50, run).value <= least * (1.0 + 1e-12));
  const PlacementResult found = optimise_placement(p, "auto", {});
  CHECK(found.score.objective <= least * (1.0 + 1e-12));
}

// Five groups that never part: zero traffic at equal loads, so both parts of the bound are tight.
TEST_CASE("the bound of a planted placement is the optimum", "[placement][unit]") {
  PlacementProblem p;
  p.name = "planted";
  p.layers = 6;
  p.experts = 10;
  p.devices = 5;
  p.devices_per_node = 5;
  p.capacity.assign(5, 2);
  p.comm = CommModel::interlayer;
  p.loads.assign(6, std::vector<double>(10, 40.0));
  p.transitions.assign(5, std::vector<double>(100, 0.0));
  for (auto& matrix : p.transitions) {
    for (std::size_t a = 0; a < 10; ++a) {  // group of a: a mod 5; layers keep their groups
      matrix[a * 10 + a] = 20.0;
      matrix[a * 10 + (a + 5) % 10] = 20.0;
    }
  }
  const PlacementResult result = optimise_placement(p, "swap", {});
  SolverRun run({});
  const PlacementResult contiguous = optimise_placement(p, "contiguous", {});
  CHECK(placement_bound(p, contiguous.placement, 200, run).value <= 480.0);
  CHECK(result.score.traffic == 0.0);
  CHECK(result.score.objective == 6.0 * 80.0);
  CHECK(result.proven_optimal);
  CHECK(result.gap == 0.0);
}

// Hot experts follow each other: loads and traffic cannot both be at their best.
TEST_CASE("load and traffic together bound more than their sum", "[placement][unit]") {
  RandomShape shape;
  shape.layers = 4;
  shape.experts = 16;
  shape.devices = 4;
  shape.devices_per_node = 4;
  const PlacementProblem p = tokens_problem(shape, 3);
  const PlacementResult result = optimise_placement(p, "swap", {});
  CHECK(result.bound.joint > (result.bound.load + result.bound.traffic) * 1.01);
}

TEST_CASE("the optimal split is the worst subset's share", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{40}));
  CAPTURE(seed);
  Rng rng(seed);
  PlacementProblem p;
  p.layers = 1;
  p.experts = 6;
  p.devices = 4;
  p.devices_per_node = 4;
  p.redundant = 2;
  p.capacity.assign(4, 2);
  p.loads.emplace_back();
  for (int e = 0; e < 6; ++e) {
    p.loads[0].push_back(static_cast<double>(rng.below(100)));
  }
  if (seed % 3 == 0) {
    p.slowness = {1.0, 2.0, 1.0, 1.5};
  }
  p.split = ReplicaSplit::optimal;
  std::vector<int> counts(6, 1);
  ++counts[rng.below(6)];
  ++counts[rng.below(6)];
  const PlacementProblem items = expand_replicas(p, {counts});
  const ExpertPlacement placement = placement_of(items, random_assignment(items, rng));
  double worst = 0.0;  // over subsets S: load(S) / sum of 1 / slowness over the devices of S
  for (unsigned subset = 1; subset < 64; ++subset) {
    double load = 0.0;
    double speed = 0.0;
    for (int g = 0; g < 4; ++g) {
      bool used = false;
      for (int s = placement.first_slot[std::size_t(g)];
           s < placement.first_slot[std::size_t(g) + 1]; ++s) {
        const auto e = placement.slot_expert[0][std::size_t(s)];
        used = used || (e >= 0 && ((subset >> e) & 1U) != 0);
      }
      speed += used ? 1.0 / p.slowness_of(g) : 0.0;
    }
    for (int e = 0; e < 6; ++e) {
      load += ((subset >> e) & 1U) != 0 ? p.loads[0][std::size_t(e)] : 0.0;
    }
    worst = std::max(worst, load / speed);
  }
  CHECK(evaluate(p, placement).load == Approx(worst).epsilon(1e-9).margin(1e-9));
}
