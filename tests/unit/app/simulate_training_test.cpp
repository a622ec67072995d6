#include "sim/app/simulate_training.h"

#include <catch2/catch.hpp>

#include "tests/unit/training/training_scenario.h"

using namespace moesim;

TEST_CASE("both backends run an iteration alike, and its document says what it holds") {
  nlohmann::json scenario = testing::training_scenario();
  scenario["workload"]["global_batch"] = 32;
  scenario["policy"] = {{"pipeline", "zb_h1"}};
  const TrainingResult result =
      simulate_training(parse_train_scenario(scenario, "t.json"), testing::training_library(),
                        {.crosscheck = true, .timeline = true});
  REQUIRE(result.crosscheck);
  CHECK(result.crosscheck->agree);
  const nlohmann::json trace = nlohmann::json::parse(result.timeline);
  CHECK(trace.at("traceEvents").size() > result.crosscheck->tasks);
  const nlohmann::json report = to_json(result);
  const nlohmann::json& metrics = report.at("metrics");
  for (const char* key :
       {"step_s", "tokens_per_s_per_device", "model_tflops_per_device", "mfu", "bubble_fraction",
        "exposed_communication_s", "peak_memory_bytes", "cost_usd", "energy_j"}) {
    INFO(key);
    CHECK(metrics.at(key).get<double>() > 0.0);
  }
  CHECK(metrics.at("fits").is_boolean());
  double sum = 0.0;
  for (const auto& [key, seconds] : report.at("breakdown").items()) {
    sum += seconds.is_number() ? seconds.get<double>() : 0.0;
  }
  CHECK(sum == Approx(metrics.at("step_s").get<double>()));
  // A report's scenario can be run again.
  CHECK(simulate_training(parse_train_scenario(result.scenario, "again.json"),
                          testing::training_library(), {})
            .report.step_s == result.report.step_s);
}
