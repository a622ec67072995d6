#include "sim/engine/unused_keys.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "sim/core/config.h"
#include "sim/engine/results/step_report.h"
#include "tests/unit/engine/small_scenario.h"

namespace moesim {
namespace {

using Texts = std::vector<std::string>;

// A dense model on two devices.
nlohmann::json dense_scenario() {
  auto scenario = testing::small_scenario(2);
  scenario["model"] = "llama-3.1-8b";
  scenario["parallelism"] = {{"attention", {{"dp", 2}}}};
  scenario["workload"].erase("routing");
  return scenario;
}

Texts report_warnings(const nlohmann::json& scenario) {
  const testing::Ran run(scenario);
  return step_report(run.simulation, {run.step_s()}, run.step).warnings;
}

bool holds(const Texts& texts, const std::string& text) {
  return std::ranges::find(texts, text) != texts.end();
}

}  // namespace

TEST_CASE("keys about experts say nothing of a dense model", "[engine][scenario]") {
  auto scenario = dense_scenario();
  for (const std::string& text : report_warnings(scenario)) {
    CHECK(text.find("no effect") == std::string::npos);
  }
  scenario["workload"]["routing"] = "no_such.moetrace";
  scenario["placement"] = {{"policy", "eplb"}, {"comm_model", "dispatch"}};
  scenario["policy"]["dispatch"] = "fp8";
  CHECK(holds(report_warnings(scenario),
              "/placement/comm_model, /placement/policy, /policy/dispatch, /workload/routing have "
              "no effect: the model has no routed experts"));
}

TEST_CASE("a rank that holds all experts exchanges nothing", "[engine][scenario]") {
  auto document = testing::small_scenario();
  document["policy"]["all_to_all"] = "rank_dedup";
  const Scenario scenario = parse_scenario(document, "test.json");
  CHECK(unused_key_warnings(scenario, {.routed_experts = true, .expert_ranks = 8}).empty());
  CHECK(unused_key_warnings(scenario, {.routed_experts = true, .expert_ranks = 1}) ==
        Texts{"/policy/all_to_all has no effect: every rank holds all experts, and none exchanges "
              "tokens"});
}

TEST_CASE("statistics that no solver looks at are named", "[engine][scenario]") {
  auto document = testing::small_scenario();
  document["placement"] = {{"policy", "round_robin"}, {"statistics_tokens", 4096}};
  const KeyUse use{.routed_experts = true, .expert_ranks = 8};
  CHECK(unused_key_warnings(parse_scenario(document, "test.json"), use) ==
        Texts{"/placement/statistics_tokens has no effect: a fixed rule without redundant experts "
              "looks at no statistics"});
  document["placement"]["redundant_experts"] = 8;
  CHECK(unused_key_warnings(parse_scenario(document, "test.json"), use).empty());
  document["placement"] = {{"policy", "eplb"}, {"statistics_tokens", 4096}};
  CHECK(unused_key_warnings(parse_scenario(document, "test.json"), use).empty());
}

TEST_CASE("expected routing samples nothing", "[engine][scenario]") {
  auto document = testing::small_scenario();
  document["workload"] = {{"kind", "prefill"},
                          {"tokens_per_rank", 1024},
                          {"prompt_tokens", 512},
                          {"routing", "power_law:0.6"},
                          {"routing_sample", 256}};
  const KeyUse use{.routed_experts = true, .expert_ranks = 8};
  CHECK(unused_key_warnings(parse_scenario(document, "test.json"), use).empty());
  document["run"] = {{"routing", "expected"}};
  CHECK(unused_key_warnings(parse_scenario(document, "test.json"), use) ==
        Texts{"/workload/routing_sample has no effect: expected routing counts every token"});
}

TEST_CASE("shipped scenarios give no key for nothing", "[engine][scenario]") {
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(MOESIM_SOURCE_DIR) + "/sim/scenarios")) {
    if (entry.path().extension() != ".json") {
      continue;
    }
    const nlohmann::json document = read_json_file(entry.path().string());
    if (document.at("workload").at("kind") == "train") {
      continue;  // sim/training's
    }
    const Scenario scenario = parse_scenario(document, "test.json");
    CAPTURE(entry.path().string());
    CHECK(unused_key_warnings(
              scenario, {.routed_experts = true, .expert_ranks = scenario.parallelism.expert_ep})
              .empty());
  }
}

}  // namespace moesim
