#include <catch2/catch.hpp>
#include <filesystem>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using moesim::testing::small_scenario;

TEST_CASE("the effective scenario holds every default and reads back the same",
          "[engine][scenario]") {
  const Scenario first = parse_scenario(small_scenario(), "test.json");
  CHECK(first.effective.at("seed") == 1);
  CHECK(first.effective.at("placement").at("policy") == "contiguous");
  CHECK(first.effective.at("policy").at("overlap") == "none");
  CHECK(first.effective.at("run").at("steps") == 1);
  const Scenario second = parse_scenario(first.effective, "again.json");
  CHECK(first.effective == second.effective);
}

TEST_CASE("kernels are asked for at once or by operation", "[engine][scenario]") {
  const auto wishes = [](const nlohmann::json& kernels) {
    auto scenario = small_scenario();
    scenario["policy"] = nlohmann::json::object();
    if (!kernels.is_null()) {
      scenario["policy"]["kernels"] = kernels;
    }
    const Scenario read = parse_scenario(scenario, "test.json");
    CHECK(parse_scenario(read.effective, "again.json").effective == read.effective);
    return read.policy;
  };
  using Map = std::map<std::string, std::string>;
  CHECK(wishes({}).kernels.by_operation == Map{{"default", "auto"}});
  CHECK(wishes({}).framework().empty());
  CHECK(wishes("sglang-0.5.10").framework() == "sglang");
  const Policy mixed = wishes({{"default", "trtllm"}, {"moe", "sglang-0.5.10"}});
  CHECK(mixed.kernels.by_operation == Map{{"default", "trtllm"}, {"moe", "sglang-0.5.10"}});
  CHECK(mixed.framework() == "trtllm");
  CHECK(wishes({{"moe", "vllm"}}).kernels.by_operation ==
        Map{{"default", "auto"}, {"moe", "vllm"}});
  CHECK_THROWS_WITH(wishes({{"moes", "vllm"}}),
                    Catch::Matchers::Contains("test.json#/policy/kernels/moes") &&
                        Catch::Matchers::Contains("moe, gemm"));
  auto unknown = small_scenario();
  unknown["policy"]["kernels"] = {{"moe", "sglang-0.5.11"}};
  CHECK_THROWS_WITH(moesim::testing::simulation_of(unknown),
                    Catch::Matchers::Contains("test.json#/policy/kernels/moe") &&
                        Catch::Matchers::Contains("sglang-0.5.10"));
}

TEST_CASE("rank products must agree", "[engine][scenario]") {
  auto scenario = small_scenario();
  scenario["parallelism"]["experts"]["ep"] = 16;
  CHECK_THROWS_WITH(parse_scenario(scenario, "test.json"),
                    "test.json#/parallelism/experts: etp * ep * edp = 16 ranks, but attention's "
                    "tp * dp = 8; both maps cover the same ranks");
}

TEST_CASE("every shipped scenario parses and its names exist", "[engine][scenario]") {
  int seen = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(MOESIM_SOURCE_DIR) + "/sim/scenarios")) {
    if (entry.path().extension() != ".json") {
      continue;
    }
    CAPTURE(entry.path().string());
    auto document = read_json_file(entry.path().string());
    if (document["workload"]["kind"] == "train") {
      continue;  // sim/training's
    }
    document["workload"]["routing"] = "balanced";  // profiles have tests of their own
    const Simulation simulation(parse_scenario(document, entry.path().filename().string()),
                                moesim::testing::shipped_library(), 2);
    CHECK(simulation.topology().devices() == simulation.scenario().parallelism.ranks());
    ++seen;
  }
  CHECK(seen == 14);
}

TEST_CASE("prompts are exchanged by the normal kernels, unless the scenario says otherwise",
          "[engine][scenario]") {
  const auto exchange = [](const nlohmann::json& workload) {
    auto scenario = small_scenario(2);
    scenario["workload"] = workload;
    const Scenario read = parse_scenario(scenario, "test.json");
    CHECK(read.effective.at("policy").at("all_to_all") == read.policy.all_to_all);
    return read.policy.all_to_all;
  };
  const nlohmann::json prompt{{"phase", "prefill"}, {"new_tokens", 64}};
  const nlohmann::json token{{"phase", "decode"}, {"context", 64}};
  CHECK(exchange(small_scenario()["workload"]) == "deepep_low_latency");
  CHECK(exchange({{"kind", "prefill"},
                  {"tokens_per_rank", 64},
                  {"prompt_tokens", 64},
                  {"routing", "balanced"}}) == "deepep_normal");
  CHECK(exchange({{"kind", "batches"}, {"ranks", {{token}, {token}}}, {"routing", "balanced"}}) ==
        "deepep_low_latency");
  CHECK(exchange({{"kind", "batches"}, {"ranks", {{token}, {prompt}}}, {"routing", "balanced"}}) ==
        "deepep_normal");
}

TEST_CASE("a library's variant of an all-to-all may be asked for", "[engine][scenario]") {
  auto scenario = small_scenario();
  const auto law = [&scenario](const char* name) {
    scenario["policy"]["all_to_all"] = name;
    const moesim::testing::Ran ran(scenario);
    return ran.simulation.communication().front().family;
  };
  CHECK(law("deepep_low_latency.uccl") == "all_to_all/deepep_low_latency.uccl/combine");
  CHECK_THROWS_WITH(law("deepep_low_latency.nobody"),
                    Catch::Matchers::Contains("test.json#/policy/all_to_all") &&
                        Catch::Matchers::Contains("deepep_low_latency.uccl"));
  CHECK_THROWS_WITH(law("deepep.uccl"),
                    Catch::Matchers::Contains("test.json#/policy/all_to_all") &&
                        Catch::Matchers::Contains("is not one of: deepep_low_latency"));
}
