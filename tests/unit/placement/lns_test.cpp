#include "placement/programs/lns.h"

#include <catch2/catch.hpp>

#include "placement/heuristics/item_objective.h"
#include "random_problem.h"

using namespace moesim;

TEST_CASE("polishing leaves no layer that could be placed better", "[placement][property][large]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{8}));
  const int slots = GENERATE(2, 3);
  CAPTURE(seed, slots);
  Rng rng(seed);
  PlacementProblem p = test::random_problem(rng, 3, 6, 3, 1, slots);
  const Assignment start = balanced_starts(p);
  SolverRun run({.seed = seed});
  const Assignment polished = polish_lns(p, start, run, 300);
  check_feasible(p, placement_of(p, polished), "lns");
  CHECK(item_objective(p, polished) <= item_objective(p, start));
  CHECK(test::objective_of(p, polished) == Approx(item_objective(p, polished)).epsilon(1e-12));
  // All GPUs of a layer are a neighbourhood, so the end is optimal layer by layer.
  for (int l = 0; l < p.layers; ++l) {
    double best = item_objective(p, polished);
    test::for_each_layer(p, l, [&](const std::vector<int>& device) {
      Assignment trial = polished;
      std::ranges::copy(device, trial.begin() + l * p.experts);
      best = std::min(best, item_objective(p, trial));
    });
    CHECK(item_objective(p, polished) == Approx(best).epsilon(1e-9));
  }
  SolverRun again({.seed = seed, .threads = 2});
  CHECK(polish_lns(p, start, again, 300) == polished);
}

TEST_CASE("polishing obeys slowness, forbidden GPUs and replicas", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{6}));
  CAPTURE(seed);
  Rng rng(seed);
  PlacementProblem p = test::random_problem(rng, 2, 8, 4, 2, 2);
  p.slowness = {1.0, 1.5, 0.5, 2.0};
  p.forbidden.assign(std::size_t{2} * 8 * 4, 0);
  for (std::size_t i = 0; i < 64; i += 5) {
    p.forbidden[i] = 1;
  }
  p.expert_of_item.assign(2, {0, 0, 1, 1, 2, 3, 4, 5});
  const Assignment start = balanced_starts(p);
  SolverRun run({.seed = seed});
  const Assignment polished = polish_lns(p, start, run, 40);
  CHECK(item_objective(p, polished) <= item_objective(p, start));
  for (int l = 0; l < 2; ++l) {
    const auto device = [&](int item) { return polished[static_cast<std::size_t>(l * 8 + item)]; };
    CHECK(device(0) != device(1));
    CHECK(device(2) != device(3));
    for (int e = 0; e < 8; ++e) {
      CHECK(p.allowed(l, e, device(e)));
    }
  }
}
