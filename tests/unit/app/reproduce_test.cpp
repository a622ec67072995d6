#include "sim/app/reproduce.h"

#include <optional>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/app/catalog.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "tests/support/temporary_folder.h"

using namespace moesim;
using Json = nlohmann::json;

namespace {

Json claims() {
  return Json::parse(R"([
    {"id": "faster", "kind": "predict", "unit": "x", "value": 1.2,
     "tolerance": {"type": "relative", "value": 0.9}},
    {"id": "untouched", "kind": "predict", "unit": "ms", "value": [1, 2],
     "tolerance": {"type": "relative", "value": 0.1}}])");
}

struct OneScenario {
  test::TemporaryFolder folder;
  ReproduceOptions options{.claims = "claims.json",
                           .claim_folders = {folder.path().string()},
                           .scenario_folders = {std::string(MOESIM_SOURCE_DIR) + "/sim/scenarios"},
                           .catalogs = catalog_folders({MOESIM_SOURCE_DIR})};

  OneScenario() {
    write_text_file(folder.file("s.json"), R"({
      "claims": ["faster"],
      "runs": {
        "slow": {"base": "mixtral_8x7b_decode_tp2ep4_h100",
                 "set": {"/workload/routing": "power_law:0.5"}},
        "fast": {"base": "mixtral_8x7b_decode_tp2ep4_h100",
                 "set": {"/workload/routing": "balanced"}}},
      "measure": {"faster": "slow.metrics.step_s / fast.metrics.step_s"},
      "assumed": ["64 requests"]})");
  }
};

}  // namespace

TEST_CASE("claims are judged, and the result stands on its own") {
  OneScenario one;
  std::optional<ReproduceResult> first = reproduce(claims(), one.options);
  const ReproduceResult result = *first;
  first.reset();  // what claims point to is the copy's as well
  REQUIRE(result.claims.size() == 2);
  CHECK(result.claims[0].verdict == Verdict::reproduced);
  CHECK(result.claims[0].simulated.front() > 1.0);
  REQUIRE(result.claims[0].scenario != nullptr);
  CHECK(result.claims[0].scenario->path == one.folder.file("s.json"));
  CHECK(result.claims[1].verdict == Verdict::not_attempted);
  const Json rows = to_json(result).at("claims");
  CHECK(rows.at(0).at("simulated") == result.claims[0].simulated.front());
  CHECK(rows.at(0).at("assumed") == Json::parse(R"(["64 requests"])"));
  CHECK(rows.at(1).at("scenario").is_null());
  one.options.ids = {"untouched"};
  CHECK(reproduce(claims(), one.options).claims.size() == 1);
}

TEST_CASE("claims that are unknown or wrong are the caller's error") {
  OneScenario one;
  one.options.ids = {"fastr"};
  CHECK_THROWS_WITH(reproduce(claims(), one.options), Catch::Contains("faster"));
  one.options.ids.clear();
  Json bad = claims();
  bad[0]["kind"] = "guess";
  CHECK_THROWS_WITH(reproduce(bad, one.options), Catch::StartsWith("claims.json#/0/kind"));
}
