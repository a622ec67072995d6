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
    document["workload"]["routing"] = "balanced";  // profiles have tests of their own
    const Simulation simulation(parse_scenario(document, entry.path().filename().string()),
                                moesim::testing::shipped_library(), 2);
    CHECK(simulation.topology().devices() == simulation.scenario().parallelism.ranks());
    ++seen;
  }
  CHECK(seen == 11);
}
