#include <algorithm>
#include <atomic>
#include <cmath>

#include <catch2/catch.hpp>

#include "placement/programs/milp_model.h"
#include "sim/core/rng.h"

using namespace moesim;

namespace {

// Random knapsack-like rows over `n` binaries, one continuous column bounded below by a row.
MilpModel random_model(Rng& rng, int n, double cost_size) {
  MilpModel model;
  for (int i = 0; i < n; ++i) {
    model.add_binary(cost_size * (static_cast<double>(rng.below(200)) - 120.0));
  }
  for (int r = 0; r < 3; ++r) {
    std::vector<MilpTerm> terms;
    for (int i = 0; i < n; ++i) {
      terms.push_back({i, static_cast<double>(1 + rng.below(20))});
    }
    model.add_row(r == 0 ? 15.0 : -k_unbounded, static_cast<double>(40 + rng.below(40)), terms);
  }
  // y >= sum of the first half, at a price.
  const int y = model.add_continuous(0.0, k_unbounded, cost_size * 30.0);
  std::vector<MilpTerm> terms{{y, -1.0}};
  for (int i = 0; i < n / 2; ++i) {
    terms.push_back({i, 1.0});
  }
  model.add_row(-k_unbounded, 0.0, terms);
  return model;
}

// All 2^n settings of the binaries.
double brute_force(const MilpModel& model) {
  const int n = model.columns() - 1;
  double best = k_unbounded;
  for (unsigned bits = 0; bits < (1U << static_cast<unsigned>(n)); ++bits) {
    std::vector<double> values;
    double half = 0.0;
    for (int i = 0; i < n; ++i) {
      values.push_back((bits >> static_cast<unsigned>(i)) & 1U ? 1.0 : 0.0);
      half += i < n / 2 ? values.back() : 0.0;
    }
    values.push_back(half);
    if (model.feasible(values, 1e-9)) {
      best = std::min(best, model.value_of(values));
    }
  }
  return best;
}

// Even loads over equal bins: hopeless to prove, so limits decide.
MilpModel hard_model(int items, int bins) {
  Rng rng(5);
  MilpModel model;
  const int makespan = model.add_continuous(0.0, k_unbounded, 1.0);
  std::vector<std::vector<MilpTerm>> loads(static_cast<std::size_t>(bins));
  for (int i = 0; i < items; ++i) {
    std::vector<MilpTerm> somewhere;
    const double weight = 1.0 + rng.uniform();
    for (auto& load : loads) {
      const int x = model.add_binary(0.0);
      somewhere.push_back({x, 1.0});
      load.push_back({x, weight});
    }
    model.add_row(1.0, 1.0, somewhere);
  }
  for (auto& load : loads) {
    load.push_back({makespan, -1.0});
    model.add_row(-k_unbounded, 0.0, load);
  }
  return model;
}

}  // namespace

TEST_CASE("small integer programs are solved to the optimum of enumeration",
          "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{25}));
  const double size = GENERATE(1.0, 1e-9, 1e9);  // tolerances follow the costs
  CAPTURE(seed, size);
  Rng rng(seed);
  const MilpModel model = random_model(rng, 10, size);
  const SolverRun run({});
  const MilpResult result = solve_milp(model, {}, run);
  const double best = brute_force(model);
  if (best == k_unbounded) {
    CHECK(result.status == MilpStatus::infeasible);
    return;
  }
  REQUIRE(result.status == MilpStatus::optimal);
  CHECK(result.objective == Approx(best).epsilon(1e-9));
  CHECK(result.bound <= result.objective);
  CHECK(result.bound >= result.objective - 2e-6 * (std::abs(result.objective) + 200.0 * size));
  CHECK(model.feasible(result.values, 1e-6));
}

TEST_CASE("a start is kept when the search has no time, and bounds stay below it",
          "[placement][unit]") {
  MilpModel model = hard_model(24, 4);
  std::vector<double> start(static_cast<std::size_t>(model.columns()), 0.0);
  start[0] = 1000.0;
  for (int i = 0; i < 24; ++i) {
    start[static_cast<std::size_t>(1 + 4 * i + i % 4)] = 1.0;
  }
  model.start = start;
  SolveOptions options;
  options.time_limit_s = 0.0;
  const MilpResult none = solve_milp(model, {}, SolverRun(options));
  CHECK(none.status == MilpStatus::feasible);
  CHECK(none.objective == 1000.0);
  CHECK(none.bound == -k_unbounded);

  const MilpResult some = solve_milp(model, {.nodes = 50}, SolverRun({}));
  CHECK(some.status == MilpStatus::feasible);
  CHECK(some.objective < 1000.0);
  CHECK(some.bound <= some.objective);
}

TEST_CASE("node limits give the same answer twice", "[placement][unit]") {
  const MilpModel model = hard_model(30, 3);
  const MilpResult a = solve_milp(model, {.nodes = 60}, SolverRun({}));
  const MilpResult b = solve_milp(model, {.nodes = 60}, SolverRun({.threads = 2}));
  CHECK(a.values == b.values);
  CHECK(a.bound == b.bound);
}

TEST_CASE("a cancelled program ends at once and proves nothing wrong", "[placement][unit]") {
  const MilpModel model = hard_model(60, 6);
  const std::atomic<bool> cancel{true};
  SolveOptions options;
  options.cancel = &cancel;
  const MilpResult result = solve_milp(model, {}, SolverRun(options));
  CHECK(result.status == MilpStatus::none);

  options.cancel = nullptr;
  options.time_limit_s = 0.4;
  const SolverRun run(options);
  const MilpResult timed = solve_milp(model, {}, run);
  CHECK(timed.status == MilpStatus::feasible);
  CHECK(timed.bound <= timed.objective);
  CHECK(run.seconds() < 4.0);  // hours without a limit; generous, machines are busy
}
