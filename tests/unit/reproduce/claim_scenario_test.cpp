#include "sim/reproduce/claim_scenario.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/core/error.h"
#include "sim/engine/scenario.h"
#include "sim/reproduce/reproduce.h"
#include "sim/training/train_scenario.h"

using namespace moesim;
using Json = nlohmann::json;

namespace {

Json scenario() {
  return Json::parse(R"({
    "claims": ["one", "two"],
    "runs": {"home": {"base": "mixtral_8x7b_decode_tp2ep4_h100"},
             "away": {"base": "setups/x.json", "set": {"/policy/kernels": "vllm", "/seed": 3}}},
    "fit": {"set": "/hardware/node/device_link/bandwidth", "unit": "GB/s", "runs": ["home"],
            "between": [10, 450], "measure": "home.metrics.step_s", "to": 0.3, "claim": "three"},
    "measure": {"one": "home.metrics.step_s", "two": ["away.metrics.mfu", "away.metrics.mbu"]},
    "judge": {"two": {"published": ["1 + 1", 3], "bound": "at_most", "neutral": 1, "why": "w"}},
    "assumed": ["batch of 64"]
  })");
}

Json edited(const std::string& pointer, const Json& value) {
  Json document = scenario();
  document[Json::json_pointer(pointer)] = value;
  return document;
}

}  // namespace

TEST_CASE("a claim's scenario is read whole", "[reproduce][unit]") {
  const ClaimScenario read = parse_claim_scenario(scenario(), "s.json");
  CHECK(read.runs.at("away").edits ==
        std::vector<std::string>{"/policy/kernels=\"vllm\"", "/seed=3"});
  REQUIRE(read.fit);
  CHECK(read.fit->to == 0.3);
  CHECK(read.measures.at(1).is_list);
  CHECK(read.measures.at(1).published.size() == 2);
  CHECK(read.measures.at(1).bound == Bound::at_most);
  CHECK(read.assumed == std::vector<std::string>{"batch of 64"});
}

TEST_CASE("bad scenarios of claims are refused with their place", "[reproduce][unit]") {
  const auto [pointer, value, place, what] =
      GENERATE(table<std::string, std::string, std::string, std::string>({
          {"/claims", "[]", "s.json#/claims", "empty"},
          {"/claims", "[\"one\", \"one\"]", "s.json#/claims", "twice"},
          {"/claims", "[\"one\"]", "s.json#/measure", "does not list"},
          {"/claims", "[\"one\", \"two\", \"four\"]", "s.json#/measure", "four"},
          {"/measure", "\"home.metrics.step_s\"", "s.json#/measure", "2 claims"},
          {"/measure/one", "\"\"", "s.json#/measure/one", "column 1"},
          {"/measure/one", "\"hom.metrics.step_s\"", "s.json#/measure/one", "away, home"},
          {"/measure/one", "{}", "s.json#/measure/one", "expression"},
          {"/measure/two", "[]", "s.json#/measure/two", "empty list"},
          {"/runs/Home", "{\"base\": \"x\"}", "s.json#/runs/Home", "lower-case"},
          {"/runs/home/set", "{\"seed\": 1}", "s.json#/runs/home/set", "no JSON pointer"},
          {"/runs/home/sets", "{}", "s.json#/runs/home/sets", "unknown key"},
          {"/runs/home/base", "3", "s.json#/runs/home/base", "text"},
          {"/fit/between", "[5, 5]", "s.json#/fit/between", "low < high"},
          {"/fit/between", "[5]", "s.json#/fit/between", "low < high"},
          {"/fit/runs", "[\"nowhere\"]", "s.json#/fit/runs", "nowhere"},
          {"/fit/measure", "\"1 +\"", "s.json#/fit/measure", "column 4"},
          {"/fit/set", "\"bandwidth\"", "s.json#/fit/set", "no JSON pointer"},
          {"/judge/three", "{}", "s.json#/judge/three", "is not among /claims"},
          {"/judge/two/bound", "\"above\"", "s.json#/judge/two/bound", "at_most"},
          {"/judge/two/why", "1", "s.json#/judge/two/why", "text"},
          {"/judge/two/tolerance", "{\"type\": \"points\"}", "/judge/two/tolerance/value", "needs"},
          {"/fits", "1", "s.json#/fits", "unknown key"},
          {"/assumed", "\"nothing\"", "s.json#/assumed", "array"},
      }));
  CAPTURE(pointer, value);
  const Json document = edited(pointer, Json::parse(value));
  CHECK_THROWS_AS(parse_claim_scenario(document, "s.json"), ConfigError);
  CHECK_THROWS_WITH(parse_claim_scenario(document, "s.json"),
                    Catch::Contains(place) && Catch::Contains(what));
}

TEST_CASE("runs are shipped scenarios with edits", "[reproduce][unit]") {
  const std::vector<std::string> shipped{std::string(MOESIM_SOURCE_DIR) + "/sim/scenarios"};
  ClaimScenario read = parse_claim_scenario(scenario(), "s.json");
  read.runs.at("home").edits = {"/workload/context=17"};
  CHECK(run_document(read, "home", shipped).json["workload"]["context"] == 17);
  CHECK_THROWS_WITH(run_document(read, "away", shipped),
                    Catch::Contains("s.json#/runs/away/base") && Catch::Contains("does not exist"));
  read.runs.at("away").base = "mixtral";
  CHECK_THROWS_WITH(run_document(read, "away", shipped),
                    Catch::Contains("mixtral_8x7b_decode_tp2ep4_h100"));
  read.runs.at("home").edits = {"/seed/deeper=1"};
  CHECK_THROWS_WITH(run_document(read, "home", shipped),
                    Catch::Contains("s.json#/runs/home/set") && Catch::Contains("/seed"));
}

// Every shipped one is sound, and no two measure the same claim.
TEST_CASE("shipped scenarios of claims name runs that exist", "[reproduce][unit]") {
  const std::string root = std::string(MOESIM_SOURCE_DIR) + "/sim/scenarios";
  for (const ClaimScenario& read : read_claim_scenarios({root + "/claims"})) {
    for (const auto& [name, run] : read.runs) {
      CAPTURE(read.path, name);
      const ScenarioDocument document = run_document(read, name, {root}, run.points() - 1);
      if (is_training(document.json)) {
        CHECK(parse_train_scenario(document, read.path).base.seed > 0);
      } else if (run.kind == "simulate") {
        CHECK(parse_scenario(document, read.path).seed > 0);
      }
    }
    CHECK_FALSE(read.assumed.empty());  // no paper says everything
  }
}

TEST_CASE("names select values of a report", "[reproduce][unit]") {
  const Json report = Json::parse(R"({"metrics": {"step_s": 0.5, "fits": true, "name": "x"},
      "layers": [{"layer": 0}, {"layer": 1, "experts_s": 2}, {"layer": 2, "experts_s": 4}]})");
  const auto values = [&](const std::string& path) { return report_values(report, path, "w"); };
  CHECK(values("metrics.step_s") == std::vector{0.5});
  CHECK(values("metrics.fits") == std::vector{1.0});
  CHECK(values("layers.experts_s") == std::vector{2.0, 4.0});
  CHECK(values("layers.2.experts_s") == std::vector{4.0});
  CHECK_THROWS_WITH(values("metrics.tpot_s"), Catch::Contains("fits, name, step_s"));
  CHECK_THROWS_WITH(values("metrics.name"), Catch::Contains("is no number"));
  CHECK_THROWS_WITH(values("metrics"), Catch::Contains("is no number"));
  CHECK_THROWS_WITH(values("layers.dispatch_s"), Catch::Contains("no element"));
  CHECK_THROWS_WITH(values("layers.3.experts_s"), Catch::Contains("only 3"));
}
