#include <algorithm>
#include <functional>
#include <numeric>

#include <catch2/catch.hpp>

#include "placement/evaluate.h"
#include "placement/published/eplb.h"
#include "placement/rebalance/rebalance.h"
#include "sim/core/error.h"
#include "sim/core/rng.h"

using namespace moesim;

namespace {

// Not EPLB: heaviest first, snaking over the devices; extra slots hold the heaviest again.
SolverAnswer solve_snake(const PlacementProblem& problem, SolverRun& /*run*/) {
  ExpertPlacement placement{problem.experts, problem.devices, {0}, {}};
  for (const int slots : problem.capacity) {
    placement.first_slot.push_back(placement.first_slot.back() + slots);
  }
  for (const auto& loads : problem.loads) {
    std::vector<int> order(loads.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, std::greater<>{},
                             [&](int e) { return loads[static_cast<std::size_t>(e)]; });
    std::vector<std::int32_t> row(static_cast<std::size_t>(placement.slots()));
    for (std::size_t i = 0; i < row.size(); ++i) {
      const auto devices = static_cast<std::size_t>(problem.devices);
      const std::size_t round = i / devices;
      const std::size_t g = round % 2 == 0 ? i % devices : devices - 1 - i % devices;
      row[static_cast<std::size_t>(placement.first_slot[g]) + round] = order[i % order.size()];
    }
    placement.slot_expert.push_back(std::move(row));
  }
  return {placement, 0.0};
}

ExpertPlacement in_order(const PlacementProblem& problem) {
  PlacementProblem flat = problem;
  EplbResult plain;
  for (auto& loads : flat.loads) {
    std::vector<std::int32_t> row(static_cast<std::size_t>(problem.slots()));
    for (std::size_t s = 0; s < row.size(); ++s) {
      row[s] = static_cast<std::int32_t>(s % loads.size());
    }
    plain.phy2log.push_back(row);
    plain.logcnt.emplace_back(loads.size(), 1);
  }
  return placement_of(plain, problem.devices);
}

// Popularities that wander from window to window.
RebalanceTask random_task(std::uint64_t seed, int windows, PlacementSolve solve) {
  Rng rng(seed);
  RebalanceTask task;
  PlacementProblem& problem = task.problem;
  problem.layers = 1 + static_cast<int>(rng.below(2));
  problem.devices = 4;
  problem.devices_per_node = 2;
  problem.experts = 8;
  problem.capacity.assign(4, 2 + static_cast<int>(rng.below(2)));
  problem.redundant = problem.slots() - problem.experts;
  problem.alpha = 1e-3;
  std::vector<std::vector<double>> level(static_cast<std::size_t>(problem.layers));
  for (auto& layer : level) {
    for (int e = 0; e < problem.experts; ++e) {
      layer.push_back(rng.gamma(0.7));
    }
  }
  problem.loads = level;
  for (int w = 0; w < windows; ++w) {
    for (auto& layer : level) {
      for (double& load : layer) {
        load = 0.7 * load + 0.3 * rng.gamma(0.7);
      }
    }
    task.windows.push_back({level, 1.0 + static_cast<double>(rng.below(1000))});
  }
  task.initial = in_order(problem);
  task.cost.expert_bytes = 1e6;
  task.cost.intra_bandwidth = 1e8 * (1.0 + rng.uniform() * 100.0);
  task.cost.inter_bandwidth = task.cost.intra_bandwidth / 4.0;
  task.cost.mode = rng.below(2) == 0 ? MigrationMode::stall : MigrationMode::background;
  task.cost.slowdown = rng.uniform();
  task.options.memory = 1 + static_cast<int>(rng.below(3));
  task.options.every = 1 + static_cast<int>(rng.below(3));
  task.options.horizon = 1.0 + rng.uniform() * 3.0;
  task.solve = solve;
  return task;
}

RebalanceOutcome run(std::string_view policy, RebalanceStudy& study) {
  return run_rebalance_policy(find_rebalance_policy(policy, "test"), study);
}

}  // namespace

TEST_CASE("a window's cost under stalls and in the background", "[placement][unit]") {
  MigrationCost cost;
  cost.slowdown = 0.25;
  // Stall: 3 s of moving, then 8 s under the new placement.
  CHECK(window_cost(cost, 3.0, 10.0, 8.0).serving_s == 8.0);
  CHECK(window_cost(cost, 3.0, 10.0, 8.0).migration_s == 3.0);
  cost.mode = MigrationMode::background;
  // Slowed, the whole window would take 12.5 s: 2.5 s of moving serve a fifth of it (2 s worth),
  // the other four fifths take 6.4 s.
  CHECK(window_cost(cost, 2.5, 10.0, 8.0).serving_s == Approx(8.4).epsilon(1e-12));
  CHECK(window_cost(cost, 2.5, 10.0, 8.0).migration_s == Approx(0.5).epsilon(1e-12));
  // The move outlasts the window: all of it under the old placement, then a stall.
  CHECK(window_cost(cost, 20.0, 10.0, 8.0).serving_s == 10.0);
  CHECK(window_cost(cost, 20.0, 10.0, 8.0).migration_s == 10.0);
  CHECK(window_cost(cost, 0.0, 10.0, 8.0).total() == 8.0);
}

TEST_CASE("totals add up, and never moves nothing", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{30}));
  CAPTURE(seed);
  RebalanceStudy study(random_task(seed, 8, solve_snake), "test");
  for (const RebalancePolicyEntry& policy : rebalance_policies()) {
    CAPTURE(policy.name);
    REQUIRE(policy.unfit(study.task()).empty());
    const RebalanceOutcome outcome = run_rebalance_policy(policy, study);
    REQUIRE(outcome.windows.size() == 8);
    RebalanceOutcome sum;
    for (const WindowOutcome& window : outcome.windows) {
      sum.serving_s += window.cost.serving_s;
      sum.migration_s += window.cost.migration_s;
      sum.bytes += window.bytes;
      sum.migrations += window.migrated ? 1 : 0;
      CHECK(window.migrated == (window.bytes > 0.0));
      CHECK(window.cost.serving_s > 0.0);
      CHECK(window.cost.migration_s >= 0.0);
      CHECK(window.max_over_mean >= 1.0 - 1e-12);
      CHECK(std::fmod(window.bytes, 1e6) == 0.0);  // whole experts
    }
    CHECK(outcome.serving_s == sum.serving_s);
    CHECK(outcome.migration_s == sum.migration_s);
    CHECK(outcome.total_s == sum.serving_s + sum.migration_s);
    CHECK(outcome.bytes == sum.bytes);
    CHECK(outcome.migrations == sum.migrations);
  }
  const RebalanceOutcome never = run("never", study);
  CHECK(never.bytes == 0.0);
  CHECK(never.migration_s == 0.0);
  CHECK(never.migrations == 0);
  double seconds = 0.0;  // straight from the evaluator
  for (const RebalanceWindow& window : study.task().windows) {
    PlacementProblem problem = study.task().problem;
    problem.loads = window.loads;
    seconds += window.steps * evaluate(problem, study.task().initial).objective;
  }
  CHECK(never.total_s == Approx(seconds).epsilon(1e-12));
}

TEST_CASE("no policy beats the oracle of its solver", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{60}));
  const auto solve = GENERATE(&solve_snake, &solve_eplb);
  CAPTURE(seed);
  RebalanceStudy study(random_task(seed, 10, solve), "test");
  const double oracle = run("oracle", study).total_s;
  for (const RebalancePolicyEntry& policy : rebalance_policies()) {
    CAPTURE(policy.name);
    CHECK(oracle <= run_rebalance_policy(policy, study).total_s * (1.0 + 1e-12));
  }
}

TEST_CASE("the oracle is the best of all sequences", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{40}));
  CAPTURE(seed);
  RebalanceTask task = random_task(seed, 3, solve_eplb);
  task.options.memory = 1;
  RebalanceStudy study(std::move(task), "test");
  const double oracle = run("oracle", study).total_s;
  std::vector<int> candidates = find_rebalance_policy("few_moves", "test").plan(study);
  candidates.push_back(0);
  for (int w = 0; w < 3; ++w) {
    candidates.push_back(study.solved(w, w));
  }
  double best = std::numeric_limits<double>::infinity();
  for (const int a : candidates) {
    for (const int b : candidates) {
      for (const int c : candidates) {
        best = std::min(best, study.cost(0, a, 0).total() + study.cost(a, b, 1).total() +
                                  study.cost(b, c, 2).total());
      }
    }
  }
  CHECK(oracle == Approx(best).epsilon(1e-12));
}

TEST_CASE("policies see nothing of the windows to come", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{20}));
  CAPTURE(seed);
  const RebalanceTask task = random_task(seed, 8, solve_snake);
  RebalanceTask other = task;
  for (std::size_t w = 5; w < 8; ++w) {
    std::ranges::reverse(other.windows[w].loads[0]);
  }
  RebalanceStudy a(task, "test");
  RebalanceStudy b(other, "test");
  for (const RebalancePolicyEntry& policy : rebalance_policies()) {
    if (policy.sees_the_future) {
      continue;
    }
    CAPTURE(policy.name);
    const RebalanceOutcome x = run_rebalance_policy(policy, a);
    const RebalanceOutcome y = run_rebalance_policy(policy, b);
    for (std::size_t w = 0; w < 5; ++w) {
      CHECK(x.windows[w].bytes == y.windows[w].bytes);
      CHECK(x.windows[w].cost.total() == y.windows[w].cost.total());
    }
    CHECK(x.windows[5].bytes == y.windows[5].bytes);  // decided before window 5 is seen
  }
}

TEST_CASE("rebalancing pays where loads stay and moves are cheap, and not where they are dear",
          "[placement][unit]") {
  RebalanceTask task = random_task(7, 6, solve_snake);
  task.cost.mode = MigrationMode::stall;
  task.options = {1, 1, 5.0};
  for (auto& window : task.windows) {  // two hot experts that start on one device
    window.loads = task.problem.loads;
    for (auto& layer : window.loads) {
      layer = {8, 8, 1, 1, 1, 1, 1, 1};
    }
    window.steps = 100.0;
  }
  RebalanceTask dear = task;
  dear.cost.inter_bandwidth = dear.cost.intra_bandwidth = 1.0;
  RebalanceStudy cheap_study(task, "test");
  RebalanceStudy dear_study(dear, "test");
  CHECK(run("threshold", cheap_study).total_s < 0.8 * run("never", cheap_study).total_s);
  CHECK(run("threshold", cheap_study).migrations == 1);
  CHECK(run("every_n", cheap_study).migrations == 1);  // the same placement again moves nothing
  CHECK(run("threshold", dear_study).migrations == 0);
  CHECK(run("every_n", dear_study).total_s > 100.0 * run("never", dear_study).total_s);
  CHECK(run("oracle", dear_study).total_s == run("never", dear_study).total_s);
}

TEST_CASE("few moves balance what is far off, with few copies", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{30}));
  CAPTURE(seed);
  RebalanceTask task = random_task(seed, 6, solve_eplb);
  for (auto& window : task.windows) {  // loads stay: what was repaired stays repaired
    window.loads = task.problem.loads;
    window.steps = 1e6;
  }
  task.options = {1, 1, 5.0};
  task.cost.mode = MigrationMode::stall;
  RebalanceStudy study(task, "test");
  const RebalanceOutcome never = run("never", study);
  const RebalanceOutcome few = run("few_moves", study);
  const RebalanceOutcome whole = run("threshold", study);
  CHECK(few.windows[1].max_over_mean <= never.windows[1].max_over_mean + 1e-12);
  CHECK(few.windows[5].max_over_mean <= few.windows[1].max_over_mean + 1e-12);
  CHECK(few.total_s <= never.total_s * (1.0 + 1e-12));
  if (whole.migrations == 1) {  // a local optimum, but not a bad one
    CHECK(few.windows[5].max_over_mean <= 1.35 * whole.windows[5].max_over_mean);
  }
  // No device holds an expert twice that did not before.
  for (const int candidate : find_rebalance_policy("few_moves", "test").plan(study)) {
    if (task.problem.redundant == 0 || candidate == 0) {
      continue;
    }
    CHECK_NOTHROW(check_placement(study.placement(candidate)));
  }
}

TEST_CASE("a hot expert gets a replica where there is a spare one", "[placement][unit]") {
  // Two devices, three slots each, four experts; 1 and 0 are there twice, 3 carries most.
  RebalanceTask task;
  task.problem = {};
  task.problem.layers = 1;
  task.problem.experts = 4;
  task.problem.devices = task.problem.devices_per_node = 2;
  task.problem.capacity = {3, 3};
  task.problem.redundant = 2;
  task.problem.loads = {{1, 1, 1, 9}};
  task.initial = {4, 2, {0, 3, 6}, {{0, 1, 2, 3, 0, 1}}};
  task.windows = {{task.problem.loads, 10.0}, {task.problem.loads, 10.0}};
  task.solve = solve_snake;
  RebalanceStudy study(task, "test");
  const RebalanceOutcome few = run("few_moves", study);
  // 3 takes the slot of a twin on device 0: 4.5 each, and the rest is at most 1.5.
  CHECK(few.windows[0].max_over_mean == Approx(10.0 / 6.0));
  CHECK(few.windows[1].max_over_mean <= 6.5 / 6.0);
}

TEST_CASE("periodic policies wait, and remember", "[placement][unit]") {
  RebalanceTask task = random_task(3, 9, solve_snake);
  task.options = {2, 3, 1.0};
  RebalanceStudy study(task, "test");
  const RebalanceOutcome outcome = run("every_n", study);
  for (std::size_t w = 0; w < 9; ++w) {
    if (w % 3 != 0 || w == 0) {
      CHECK(outcome.windows[w].bytes == 0.0);
    }
  }
  // At window 6 the windows 4 and 5 are remembered, weighted with their steps.
  PlacementProblem problem = task.problem;
  const auto& w4 = task.windows[4];
  const auto& w5 = task.windows[5];
  for (std::size_t l = 0; l < problem.loads.size(); ++l) {
    for (std::size_t e = 0; e < problem.loads[l].size(); ++e) {
      problem.loads[l][e] =
          (w4.loads[l][e] * w4.steps + w5.loads[l][e] * w5.steps) / (w4.steps + w5.steps);
    }
  }
  SolverRun run_state{SolveOptions{}};
  CHECK(study.placement(study.solved(study.first_remembered(5), 5)).slot_expert ==
        solve_snake(problem, run_state).placement.slot_expert);
}

TEST_CASE("bad rebalancing tasks are refused", "[placement][unit]") {
  const RebalanceTask good = random_task(1, 2, solve_snake);
  const auto refused = [](RebalanceTask task, const std::string& says) {
    CHECK_THROWS_WITH(RebalanceStudy(std::move(task), "t"), Catch::Contains(says));
  };
  RebalanceTask bad = good;
  bad.windows.clear();
  refused(bad, "no load windows");
  bad = good;
  bad.windows[1].loads[0].pop_back();
  refused(bad, "t, window 1/loads/0: 7 loads for 8");
  bad = good;
  bad.windows[1].steps = 0.0;
  refused(bad, "t, window 1: lasts no steps");
  bad = good;
  bad.initial.slot_expert[0][0] = 7;
  refused(bad, "expert 0 is on no GPU");
  bad = good;
  bad.cost.slowdown = -1.0;
  refused(bad, "not negative");
  CHECK_THROWS_WITH(find_rebalance_policy("always", "--policy"),
                    Catch::Contains("never, every_n, threshold, few_moves, eplb_periodic, oracle"));
}
