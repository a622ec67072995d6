// The search with the real simulator behind it: Mixtral 8x7B on one node, with two layers' worth
// of choices.
#include "sim/plan/training_judge.h"

#include <catch2/catch.hpp>

#include "sim/plan/layout_times.h"
#include "sim/plan/train_plan.h"
#include "tests/unit/training/training_scenario.h"

namespace moesim::test {
namespace {

using Json = nlohmann::json;

ScenarioDocument document(Json search) {
  Json scenario = testing::training_scenario();
  scenario["workload"]["global_batch"] = 64;
  scenario["search"] = std::move(search);
  return {.json = std::move(scenario), .warnings = {}};
}

const Json small_search = {{"tp", {1, 2}},          {"cp", {1}},
                           {"pp", {4, 8}},          {"etp", {1}},
                           {"ep", {4, 8}},          {"micro_batch", {1, 2}},
                           {"recompute", {"none"}}, {"zero", {0, 1}}};

TEST_CASE("memory, estimates and bounds of layouts agree with their simulation",
          "[plan][training]") {
  const ScenarioDocument scenario = document(small_search);
  const TrainingJudge judge(scenario, "test.json", testing::training_library());
  const PlanProblem problem = judge.problem();
  CHECK(problem.devices == 64);
  CHECK(problem.node_devices == 8);
  const WeightFlops flops = weight_flops(problem, judge.peak_flops_per_s(), 1.0);
  Reasons out;
  const SearchLimits limits = parse_search(scenario.json, "test.json#");
  const auto layouts = legal_layouts(problem, limits, legal_rank_maps(problem, limits, out));
  REQUIRE(layouts.size() > 20);
  for (std::size_t i = 0; i < layouts.size(); i += 5) {
    CAPTURE(describe(layouts[i]));
    const LayoutFigures figures = judge.simulate(layouts[i]);
    CHECK(judge.peak_memory(layouts[i]).si() == Approx(figures.peak_memory.si()).epsilon(1e-9));
    CHECK(least_time(problem, flops, layouts[i]) < figures.step);
    const Seconds estimate = estimated_time(judge.probe(layouts[i]), layouts[i],
                                            micro_batches(layouts[i], problem.global_batch));
    // Little is left of an iteration of eight micro-batches when gradients are reduced; estimates
    // are rather too low than too high there, which costs simulations and misses nothing.
    CHECK(estimate.si() < 1.1 * figures.step.si());
    CHECK(estimate.si() > 0.7 * figures.step.si());
  }
}

TEST_CASE("a plan has what the contract names", "[plan][training]") {
  const TrainPlan plan = plan_training(document(small_search), "test.json",
                                       testing::training_library(), {.threads = 2});
  const Json report = to_json(plan);
  for (const char* key : {"answer", "best", "pareto", "binding", "sensitivities", "win_probability",
                          "evaluated", "pruned"}) {
    CHECK(report.contains(key));
  }
  REQUIRE(report.at("best").is_object());
  // The best scenario runs as it stands, and gives the step that was promised.
  const Json& best = report.at("best");
  CHECK(testing::seconds_of(best.at("scenario")) ==
        Approx(best.at("metrics").at("step_s").get<double>()).epsilon(1e-12));
  CHECK(best.at("devices") == 64);
  CHECK(best.at("usd_per_hour").get<double>() > 0);
  CHECK(report.at("ranking").at(0).at("step_s") == best.at("metrics").at("step_s"));
  CHECK(report.at("given").at("layout").at("dp") == 16);
}

}  // namespace
}  // namespace moesim::test
