// A scenario's placement may be a file in any format that engines write.
#include <catch2/catch.hpp>

#include "placement/formats/formats.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using Catch::Matchers::Contains;

namespace {

nlohmann::json with_file(const std::string& path) {
  auto scenario = testing::small_scenario();
  scenario["placement"] = {{"file", path}};
  return scenario;
}

}  // namespace

TEST_CASE("a placement of a file is the placement that was written", "[engine][placement]") {
  auto scenario = testing::small_scenario();
  scenario["placement"] = {{"policy", "eplb"}, {"redundant_experts", 8}};
  const Simulation solved = testing::simulation_of(scenario);
  const ExpertPlacement& wanted = solved.deployment().placement();
  const test::TemporaryFolder folder;
  for (const char* name : {"moesim", "sglang", "trtllm", "vllm-ascend", "eplb"}) {
    CAPTURE(name);
    const std::string path = folder.file(std::string("experts.") + name);
    write_placement_file(path, find_placement_format(name, "test"), wanted,
                         {.devices = 8, .first_layer = 1, .layers = {}});
    const testing::Ran read(with_file(path));
    CHECK(read.simulation.deployment().placement().slot_expert == wanted.slot_expert);
    CHECK(read.step_s() == testing::Ran(scenario).step_s());
  }
}

TEST_CASE("a placement of a file fits the scenario or is refused", "[engine][placement]") {
  const test::TemporaryFolder folder;
  const auto complaint = [&](const std::string& text) {
    write_text_file(folder.file("p.json"), text);
    try {
      testing::simulation_of(with_file(folder.file("p.json")));
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  CHECK_THAT(complaint("{"), Contains("test.json#/placement/file") && Contains("p.json"));
  CHECK_THAT(complaint(R"({"physical_to_logical_map": "x"})"),
             Contains("test.json#/placement/file") && Contains("physical_to_logical_map"));
  // A layer of 8 experts where the model has 26 of 64.
  CHECK_THAT(complaint(R"({"schema": "moesim-placement/1", "experts": 8, "devices": 8,
                           "first_slot": [0, 1, 2, 3, 4, 5, 6, 7, 8],
                           "slot_expert": [[0, 1, 2, 3, 4, 5, 6, 7]]})"),
             Contains("p.json places 8 experts; the scenario has 64"));
  auto missing = with_file(folder.file("none.json"));
  CHECK_THROWS_WITH(testing::simulation_of(missing), Contains("test.json#/placement/file"));
  missing["placement"]["policy"] = "eplb";
  CHECK_THROWS_WITH(parse_scenario(missing, "test.json"),
                    Contains("test.json#/placement/policy") && Contains("of a file"));
}
