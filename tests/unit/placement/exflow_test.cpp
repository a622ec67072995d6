#include "placement/published/exflow.h"

#include <numeric>

#include <catch2/catch.hpp>

#include "random_problem.h"

using namespace moesim;

namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

// Token pairs that stay on a GPU (or, with `nodes`, in a node).
double retained(const PlacementProblem& p, const Assignment& devices, bool nodes) {
  double sum = 0.0;
  for (int l = 0; l + 1 < p.layers; ++l) {
    for (int a = 0; a < p.experts; ++a) {
      for (int b = 0; b < p.experts; ++b) {
        const int from = devices[at(l * p.experts + a)];
        const int to = devices[at((l + 1) * p.experts + b)];
        if (nodes ? p.node_of(from) == p.node_of(to) : from == to) {
          sum += p.transitions[at(l)][at(a * p.experts + b)];
        }
      }
    }
  }
  return sum;
}

double most_retained(const PlacementProblem& p, bool nodes) {
  double best = 0.0;
  Assignment devices;
  const std::function<void(int)> layer = [&](int l) {
    if (l == p.layers) {
      best = std::max(best, retained(p, devices, nodes));
      return;
    }
    test::for_each_layer(p, l, [&](const std::vector<int>& device) {
      devices.insert(devices.end(), device.begin(), device.end());
      layer(l + 1);
      devices.resize(devices.size() - device.size());
    });
  };
  layer(0);
  return best;
}

}  // namespace

TEST_CASE("ExFlow keeps as many pairs on their GPU as enumeration", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{15}));
  const int slots = GENERATE(2, 3);
  CAPTURE(seed, slots);
  Rng rng(seed);
  const PlacementProblem p = test::random_problem(rng, 3, 4, 2, 2, slots);
  std::vector<int> all(at(p.experts));
  std::iota(all.begin(), all.end(), 0);
  const AffinityStage stage{std::vector<std::vector<int>>(3, all), p.capacity};
  SolverRun run({});
  const AffinityResult result = maximise_affinity(p, stage, run);
  CHECK(result.proven);
  CHECK(result.retained == most_retained(p, false));
  const SolverAnswer answer = place_exflow(p, run);
  check_feasible(p, answer.placement, "exflow");
  CHECK(retained(p, assignment_of_items(p, answer.placement), false) == result.retained);
}

TEST_CASE("ExFlow's first stage keeps as many pairs in their node as possible",
          "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{6}));
  CAPTURE(seed);
  Rng rng(seed);
  const PlacementProblem p = test::random_problem(rng, 3, 4, 4, 2, 1);
  REQUIRE(unfit_exflow(p).empty());
  SolverRun one({});
  SolverRun two({.threads = 2});
  const SolverAnswer answer = place_exflow(p, one);
  check_feasible(p, answer.placement, "exflow");
  CHECK(retained(p, assignment_of_items(p, answer.placement), true) == most_retained(p, true));
  CHECK(answer.placement.slot_expert == place_exflow(p, two).placement.slot_expert);
}
