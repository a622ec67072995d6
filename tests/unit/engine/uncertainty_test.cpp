#include "sim/engine/results/uncertainty.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "sim/core/rng.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using moesim::testing::Ran;
using moesim::testing::small_scenario;

namespace {

std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

// The step's graph with every kernel's time multiplied by factor(kernel, stream of its task).
// Programs are not shared any more.
template <class Factor>
TaskGraph scaled(const LoweredStep& step, Factor factor) {
  TaskGraph graph;
  graph.resources = step.graph.resources;
  for (const Task& task : step.graph.tasks()) {
    Task copy = task;
    copy.program = graph.begin_program();
    std::size_t k = step.first_kernel[at(task.program)];
    for (const Segment& segment : step.graph.segments(task.program)) {
      const double times = factor(step.kernels[k++], task.stream);
      std::vector<Need> needs;
      for (const Need& need : step.graph.needs(segment)) {
        needs.push_back({need.resource, need.amount * times});
      }
      graph.add_segment(segment.latency_s * times, needs);
    }
    graph.add_task(copy, step.graph.predecessors(task));
  }
  return graph;
}

double makespan(const TaskGraph& graph) {
  return make_fast_backend()->run(graph, false).makespan_s;
}

// Makespans of 1000 draws of one error per family, sorted.
std::vector<double> monte_carlo(const LoweredStep& step) {
  Rng rng(1);
  std::vector<double> steps(1000);
  for (double& seconds : steps) {
    std::vector<double> z;
    for (std::size_t f = 0; f < step.families.size(); ++f) {
      z.push_back(rng.normal());
    }
    seconds = makespan(scaled(step, [&z](const Kernel& kernel, StreamId) {
      return std::exp(z[at(kernel.family)] * kernel.sigma);
    }));
  }
  std::ranges::sort(steps);
  return steps;
}

// A small step whose kernels have errors of our own choice, so that a better fit moves no test.
Ran run_with_errors(int ranks, double kernels, double communication) {
  Ran run(small_scenario(ranks, 64));
  for (Kernel& kernel : run.step.lowered.kernels) {
    kernel.sigma = is_communication(kernel.category) ? communication : kernels;
  }
  return run;
}

struct Part {
  std::int16_t family;
  double seconds;
  double sigma;
  bool extrapolated = false;
};

// One device, one task per layer that runs these kernels on nothing but its latency.
LoweredStep chain_of(const std::vector<std::vector<Part>>& layers) {
  LoweredStep step;
  step.families = {{.name = "a"}, {.name = "b"}, {.name = "never"}};
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const ProgramId program = step.graph.begin_program();
    step.first_kernel.push_back(static_cast<std::uint32_t>(step.kernels.size()));
    for (const Part& part : layers[l]) {
      step.graph.add_segment(part.seconds, {});
      step.kernels.push_back({.label = part.family == 0 ? "one" : "two",
                              .extrapolated = part.extrapolated,
                              .family = part.family,
                              .alone_s = part.seconds,
                              .sigma = part.sigma});
    }
    const auto before = static_cast<TaskId>(l) - 1;
    step.graph.add_task({.program = program, .layer = static_cast<std::int32_t>(l)},
                        std::span(&before, l == 0 ? 0 : 1));
  }
  return step;
}

}  // namespace

// a: 3 s at 10 % and 1 s at 30 %, wholly shared: 0.6 s. b: 4 s at 5 %: 0.2 s. Independent:
// sqrt(0.36 + 0.04) = 0.632 s of 8 s.
TEST_CASE("errors add within a family and their squares between families", "[engine][unit]") {
  const LoweredStep step = chain_of({{{0, 3.0, 0.1}, {1, 4.0, 0.05}}, {{0, 1.0, 0.3}}});
  const Uncertainty bars = propagate_uncertainty(step, make_fast_backend()->run(step.graph, false));
  CHECK(bars.sigma == Approx(std::sqrt(0.4) / 8.0).epsilon(1e-12));
  REQUIRE(bars.families.size() == 2);  // one of the three takes no time
  CHECK(bars.families[0].family == "a");
  CHECK(bars.families[0].critical_s == Approx(4.0));
  CHECK(bars.families[0].sigma == Approx(0.15));
  CHECK(bars.families[0].variance_share == Approx(0.9));
  CHECK(bars.families[1].variance_share == Approx(0.1));
  CHECK(bars.extrapolated.empty());
  // A tenth of a normal law lies below -1.2816 standard deviations.
  CHECK(p10_p90(8.0, 0.1).p10 == Approx(8.0 * std::exp(-0.12816)));
  CHECK(p10_p90(8.0, 0.1).p90 == Approx(8.0 * std::exp(0.12816)));
}

// a: 4 s at 25 %, of which 20 % are the transfer's and sqrt(0.25^2 - 0.2^2) = 15 % its own. b: 2 s
// at 20 %, all of it the same transfer's. Own: 0.6 s and none. The transfer moves both at once:
// 0.8 s + 0.4 s = 1.2 s. sqrt(0.36 + 1.44) = 1.342 s of 6 s.
TEST_CASE("a transfer's error is one for all families of its origin", "[engine][unit]") {
  const LoweredStep step = chain_of({{{0, 4.0, 0.25}, {1, 2.0, 0.2}}});
  const RunResult run = make_fast_backend()->run(step.graph, false);
  const auto bars = [&](const char* origin_of_b, double deployment) {
    return propagate_uncertainty(
        step, run,
        {.transfers = {{"a", "x", 0.2}, {"b", origin_of_b, 0.2}}, .deployment = deployment});
  };
  const Uncertainty together = bars("x", 0.0);
  CHECK(together.sigma == Approx(std::sqrt(0.36 + 1.44) / 6.0).epsilon(1e-12));
  REQUIRE(together.families.size() == 2);
  CHECK(together.families[0].sigma == Approx(0.25));
  CHECK(together.families[0].variance_share == Approx((0.36 + 0.8 * 1.2) / 1.8));
  CHECK(together.families[1].variance_share == Approx(0.4 * 1.2 / 1.8));
  CHECK(together.deployment_share == 0.0);
  // Two origins err independently, as two families that share nothing.
  CHECK(bars("y", 0.0).sigma == Approx(std::sqrt(0.36 + 0.64 + 0.16) / 6.0).epsilon(1e-12));
  // The deployment scales the whole step: 0.6 s of 6 s.
  const Uncertainty deployed = bars("x", 0.1);
  CHECK(deployed.sigma == Approx(std::sqrt(1.8 + 0.36) / 6.0).epsilon(1e-12));
  CHECK(deployed.deployment_share == Approx(0.36 / 2.16));
  CHECK(deployed.families[0].variance_share + deployed.families[1].variance_share +
            deployed.deployment_share ==
        Approx(1.0).epsilon(1e-12));
}

TEST_CASE("extrapolated kernels are listed with their layers and time", "[engine][unit]") {
  const LoweredStep step = chain_of({{{0, 1.0, 0.1, true}, {0, 1.0, 0.1, true}, {1, 5.0, 0.1}},
                                     {{0, 1.0, 0.1, true}, {1, 4.0, 0.1, true}},
                                     {{0, 1.0, 0.1}}});
  const Uncertainty bars = propagate_uncertainty(step, make_fast_backend()->run(step.graph, false));
  REQUIRE(bars.extrapolated.size() == 2);
  CHECK(bars.extrapolated[0].label == "two");
  CHECK(bars.extrapolated[0].family == "b");
  CHECK(bars.extrapolated[0].layers == 1);
  CHECK(bars.extrapolated[0].critical_s == Approx(4.0));
  CHECK(bars.extrapolated[1].layers == 2);
  CHECK(bars.extrapolated[1].critical_s == Approx(3.0));
}

TEST_CASE("families' seconds and shares account for the whole step", "[engine][property]") {
  const int ranks = GENERATE(1, 2, 8, 16);
  const Ran run(small_scenario(ranks));
  const Uncertainty bars = propagate_uncertainty(run.step.lowered, run.step.result);
  double seconds = 0.0;
  double shares = 0.0;
  double last = 1.0;
  for (const FamilyUncertainty& family : bars.families) {
    CHECK(family.sigma > 0.0);
    CHECK(family.variance_share <= last);
    last = family.variance_share;
    seconds += family.critical_s;
    shares += family.variance_share;
  }
  CHECK(seconds == Approx(run.step_s()).epsilon(1e-9));
  CHECK(shares == Approx(1.0).epsilon(1e-12));
  CHECK(bars.sigma > 0.01);
  CHECK(bars.sigma < 0.5);
}

// The quantiles' own sampling error at 1000 draws is 0.054 sigma, some 0.5 % of the step; the
// interval is wider than 6 % each way, so 2 % tells it from sums that are all shared or all
// independent.
TEST_CASE("linear propagation agrees with Monte Carlo", "[engine][property][slow]") {
  const int ranks = GENERATE(8, 16);
  const double communication = GENERATE(0.05, 0.2);
  const Ran run = run_with_errors(ranks, 0.15, communication);
  const LoweredStep& lowered = run.step.lowered;
  const std::vector<double> drawn = monte_carlo(lowered);
  const double sigma = propagate_uncertainty(lowered, run.step.result).sigma;
  const Interval linear = p10_p90(run.step_s(), sigma);
  CAPTURE(ranks, communication, sigma, run.step_s());
  CHECK(linear.p10 == Approx(drawn[100]).epsilon(0.02));
  CHECK(linear.p90 == Approx(drawn[900]).epsilon(0.02));
  CHECK(run.step_s() == Approx(drawn[500]).epsilon(0.02));
}

// Sums of errors by a factor of two are skewed upwards, and first order does not see it.
TEST_CASE("large errors make the bars optimistic", "[engine][property][slow]") {
  const Ran run = run_with_errors(16, 0.1, 0.8);
  const std::vector<double> drawn = monte_carlo(run.step.lowered);
  const double sigma = propagate_uncertainty(run.step.lowered, run.step.result).sigma;
  const Interval linear = p10_p90(run.step_s(), sigma);
  CAPTURE(sigma, run.step_s(), drawn[100], drawn[500], drawn[900]);
  CHECK(drawn[900] > 1.05 * linear.p90);
  CHECK(drawn[900] < 1.3 * linear.p90);
  CHECK(drawn[500] > run.step_s());
  CHECK(drawn[100] > linear.p10);
}

// Every layer waits for the rank whose experts erred most: what README.md warns of.
TEST_CASE("errors that differ between ranks lengthen the step", "[engine][property]") {
  const Ran run = run_with_errors(8, 0.2, 0.0);
  Rng rng(1);
  double sum = 0.0;
  constexpr int draws = 50;
  for (int i = 0; i < draws; ++i) {
    std::vector<double> z(8 + 2);  // streams: ranks, then dispatch and combine
    std::ranges::generate(z, [&rng] { return rng.normal(); });
    sum += makespan(scaled(run.step.lowered, [&z](const Kernel& kernel, StreamId stream) {
      return kernel.category == Category::experts ? std::exp(z[at(stream)] * kernel.sigma) : 1.0;
    }));
  }
  CAPTURE(sum / draws / run.step_s());
  CHECK(sum / draws > run.step_s());
}
