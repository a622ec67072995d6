#include "sim/app/report.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/app/place.h"
#include "sim/app/simulate.h"
#include "sim/core/output_file.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using Json = nlohmann::json;

TEST_CASE("what simulate and place say can be drawn, and other files are refused by name") {
  const Json problem = Json::parse(R"({"loads": [[4, 3, 2, 1]], "gpus": 2})");
  const Json placed = to_json(place(problem, {.name = "p.json"}));
  const Json step = to_json(simulate(parse_scenario(testing::small_scenario(), "t.json"),
                                     testing::shipped_library(), {}));
  CHECK(is_drawable(placed));
  CHECK(is_drawable(step));
  CHECK(is_drawable(Json{{"schema", "moesim.place-rebalance/1"}}));
  CHECK_FALSE(is_drawable(Json{{"schema", "moesim.place-diff/1"}}));
  CHECK_FALSE(is_drawable(problem));
  CHECK_FALSE(is_drawable(Json::array({placed})));
  const test::TemporaryFolder folder;
  write_text_file(folder.file("good.json"), placed.dump());
  write_text_file(folder.file("bad.json"), problem.dump());
  check_drawable({folder.file("good.json")});
  CHECK_THROWS_WITH(check_drawable({folder.file("good.json"), folder.file("bad.json")}),
                    Catch::StartsWith(folder.file("bad.json") + ": is no report"));
}
