// Local search keeps its books in increments; here they are compared with the definition.
#include <catch2/catch.hpp>

#include "placement/evaluate.h"
#include "placement/heuristics/heuristics.h"
#include "placement/heuristics/hungarian.h"
#include "placement/replication/replicas.h"
#include "tests/unit/placement/random_tokens.h"

using namespace moesim;
using moesim::testing::random_assignment;
using moesim::testing::RandomShape;
using moesim::testing::tokens_problem;

namespace {

PlacementProblem problem_of(std::uint64_t seed) {
  RandomShape shape;
  shape.comm = seed % 3 == 0   ? CommModel::none
               : seed % 3 == 1 ? CommModel::interlayer
                               : CommModel::dispatch;
  shape.experts = 7 + static_cast<int>(seed % 6);
  shape.devices = 4;
  shape.devices_per_node = seed % 2 == 0 ? 2 : 4;
  shape.exact = false;
  shape.uneven = seed % 5 == 0;
  return tokens_problem(shape, seed);
}

// F of an assignment of items, by the evaluator: items as experts of a problem of their own.
double objective(const PlacementProblem& items, const Assignment& devices) {
  PlacementProblem experts = items;
  experts.expert_of_item.clear();
  return evaluate(experts, placement_of(experts, devices)).objective;
}

}  // namespace

TEST_CASE("deltas of a swap are what the definition says", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{36}));
  CAPTURE(seed);
  const PlacementProblem p = problem_of(seed);
  Rng rng(seed);
  SearchState state(p, random_assignment(p, rng));
  double before = objective(p, state.assignment());
  REQUIRE(state.objective() == Approx(before).epsilon(1e-12));
  for (int step = 0; step < 40; ++step) {
    const int l = static_cast<int>(rng.below(std::uint64_t(p.layers)));
    const int a = static_cast<int>(rng.below(std::uint64_t(p.experts)));
    const int b = static_cast<int>(rng.below(std::uint64_t(state.places())));
    if (state.device(l, a) == state.device(l, b)) {
      continue;
    }
    const double delta = state.load_delta(l, a, b) + state.traffic_delta(l, a, b);
    state.swap(l, a, b);
    const double after = objective(p, state.assignment());
    CHECK(after - before == Approx(delta).margin(1e-9 * before));
    CHECK(state.objective() == Approx(after).epsilon(1e-12));
    before = after;
  }
}

TEST_CASE("replicas are items with equal shares", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{24}));
  CAPTURE(seed);
  PlacementProblem p = problem_of(seed);
  if (p.comm == CommModel::dispatch) {
    p.comm = CommModel::none;  // which token meets which replica depends on the order of slots
  }
  p.redundant = 3;
  p.capacity.assign(4, (p.experts + p.redundant + 3) / 4 + 1);
  const PlacementProblem items = expand_replicas(p);
  Rng rng(seed);
  const Assignment devices = random_assignment(items, rng);
  CHECK(evaluate(p, placement_of(items, devices)).objective ==
        Approx(objective(items, devices)).epsilon(1e-12));
}

TEST_CASE("heuristics never worsen what they start from, and obey the rules",
          "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{30}));
  CAPTURE(seed);
  PlacementProblem p = problem_of(seed);
  if (seed % 4 == 0) {
    p.forbidden.assign(std::size_t(p.layers) * std::size_t(p.experts) * std::size_t(p.devices), 0);
    p.forbidden[0] = 1;
    p.forbidden[1] = 1;
    p.forbidden[5] = 1;
  }
  SolverRun run({});
  const Assignment lpt = assign_lpt(p);
  const Assignment banded = assign_banded(p, 2, run);
  for (const Assignment& start : {lpt, banded}) {
    REQUIRE_FALSE(start.empty());
    CHECK_NOTHROW(check_feasible(p, placement_of(p, start), "test"));
    SearchState state(p, start);
    const double first = state.objective();
    relabel(state, 3, run);
    const double second = state.objective();
    CHECK(second <= first * (1.0 + 1e-12));
    swap_search(state, 0.0, run);
    const double third = state.objective();
    CHECK(third <= second * (1.0 + 1e-12));
    SearchState again(p, state.assignment());
    const Assignment cooled = anneal(again, 2000, 0.01, seed, run);
    CHECK(objective(p, cooled) <= third * (1.0 + 1e-12));
    CHECK_NOTHROW(check_feasible(p, placement_of(p, cooled), "test"));
  }
}

TEST_CASE("no device holds two replicas of one expert after repair", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{30}));
  CAPTURE(seed);
  PlacementProblem p = problem_of(seed);
  p.comm = CommModel::none;
  p.redundant = 4 * ((p.experts + 7) / 4) - p.experts;
  p.capacity.assign(4, (p.experts + p.redundant) / 4);
  const PlacementProblem items = expand_replicas(p);
  Rng rng(seed);
  Assignment devices = random_assignment(items, rng);
  REQUIRE(repair(items, devices));
  CHECK_NOTHROW(check_placement(placement_of(items, devices)));
}

TEST_CASE("the linear assignment is the cheapest permutation", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{40}));
  Rng rng(seed);
  const std::size_t n = 1 + rng.below(6);
  std::vector<double> cost(n * n);
  for (double& c : cost) {
    c = static_cast<double>(rng.below(50)) - 20.0;
  }
  const auto total = [&](const std::vector<int>& column) {
    double sum = 0.0;
    for (std::size_t r = 0; r < n; ++r) {
      sum += cost[r * n + std::size_t(column[r])];
    }
    return sum;
  };
  std::vector<int> column(n);
  std::iota(column.begin(), column.end(), 0);
  double least = total(column);
  while (std::ranges::next_permutation(column).found) {
    least = std::min(least, total(column));
  }
  CHECK(total(cheapest_assignment(cost, n)) == least);
}
