#include "sim/app/simulate.h"

#include <catch2/catch.hpp>

#include "sim/core/error.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using testing::shipped_library;
using testing::small_scenario;

namespace {

Scenario scenario_of(nlohmann::json document) { return parse_scenario(document, "test.json"); }

}  // namespace

TEST_CASE("simulate runs every step, and its document says what the result holds") {
  nlohmann::json document = small_scenario();
  document["run"]["steps"] = 3;
  std::vector<double> shares;
  const SimulateResult result =
      simulate(scenario_of(document), shipped_library(),
               {.crosscheck = true, .timeline = true, .progress = [&](double share) {
                  shares.push_back(share);
                }});
  CHECK(shares == std::vector<double>{1.0 / 3, 2.0 / 3, 1.0});
  REQUIRE(result.crosscheck);
  CHECK(result.crosscheck->agree);
  CHECK(3 * result.crosscheck->tasks == result.host.tasks);  // the last step's, and all steps'
  CHECK(nlohmann::json::parse(result.timeline).at("traceEvents").size() >
        result.crosscheck->tasks / 2);
  const nlohmann::json report = to_json(result);
  CHECK(report.at("metrics").at("step_s").get<double>() > 0.0);
  CHECK(report.at("crosscheck").at("agree") == true);
  CHECK(report.at("scenario") == result.scenario);
  CHECK(result.scenario.at("run").at("steps") == 3);
  CHECK_FALSE(report.contains("host"));
}

TEST_CASE("both backends, any threads and simulate_all give one answer") {
  const auto step_s = [](const SimulateResult& result) {
    return to_json(result).at("metrics").at("step_s").get<double>();
  };
  std::vector<Scenario> scenarios{scenario_of(small_scenario(8, 16)),
                                  scenario_of(small_scenario(8, 64))};
  const double fast = step_s(simulate(scenarios[0], shipped_library(), {}));
  CHECK(step_s(simulate(scenarios[0], shipped_library(), {.threads = 2})) == fast);
  CHECK(step_s(simulate(scenarios[0], shipped_library(), {.backend = BackendKind::simgrid})) ==
        Approx(fast).epsilon(1e-9));
  const std::vector<StepReport> all = simulate_all(scenarios, shipped_library(), 2);
  REQUIRE(all.size() == 2);
  const auto json_of = [&](std::size_t i) { return to_json(all[i], scenarios[i].effective); };
  CHECK(json_of(0).at("metrics").at("step_s") == fast);
  CHECK(json_of(1).at("metrics").at("step_s").get<double>() > fast);
}

TEST_CASE("what a scenario names wrongly is the caller's error") {
  nlohmann::json document = small_scenario();
  document["model"] = "no-such-model";
  CHECK_THROWS_AS(simulate(scenario_of(document), shipped_library(), {}), ConfigError);
  const std::vector<Scenario> scenarios{scenario_of(small_scenario()), scenario_of(document)};
  CHECK_THROWS_WITH(simulate_all(scenarios, shipped_library(), 2),
                    Catch::StartsWith("test.json#/model"));
}
