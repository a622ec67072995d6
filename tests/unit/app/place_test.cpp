#include "sim/app/place.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/app/catalog.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "sim/core/rng.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using Json = nlohmann::json;

namespace {

// Two hot experts, which contiguous puts side by side: 7 + 3 at best 5 + 5.
Json problem() { return Json::parse(R"({"loads": [[4, 3, 2, 1]], "gpus": 2})"); }

PlaceOptions scenario_options() {
  return {.name = "test.json",
          .catalogs = catalog_folders({MOESIM_SOURCE_DIR}),
          .method = "lpt",
          .statistics_tokens = 2048};
}

PlaceOptions named(const std::string& name) { return {.name = name, .catalogs = {}}; }

}  // namespace

TEST_CASE("a problem is placed, and its document says what the result holds") {
  const PlaceResult result = place(problem(), named("p.json"));
  CHECK(result.found.score.objective == 5.0);
  CHECK(result.found.proven_optimal);
  CHECK(result.problem.devices == 2);
  CHECK_FALSE(result.scenario);
  const Json document = to_json(result);
  CHECK(document.at("objective") == 5.0);
  CHECK(document.at("baseline").at("contiguous") == 7.0);
  CHECK(document.at("heat").at("found") == Json::parse("[[5, 5]]"));
  const auto& placement = document.at("placement").at(0);
  CHECK(placement.at(0) == placement.at(3));
  CHECK(placement.at(1) == placement.at(2));
  CHECK_FALSE(document.contains("provenance"));
}

TEST_CASE("options of a program win over the document") {
  PlaceOptions options = named("p.json");
  options.redundant = 2;
  options.split = ReplicaSplit::optimal;
  options.seed = 7;
  const PlaceResult result = place(problem(), options);
  CHECK(result.problem.redundant == 2);
  CHECK(result.problem.split == ReplicaSplit::optimal);
  CHECK(to_json(result).at("seed") == 7);
  CHECK(to_json(result).at("replicas").size() == 1);
}

TEST_CASE("a search that is told to stop returns the best so far, and one that is not goes on") {
  Rng random(1);
  Json large{{"gpus", 4}, {"loads", Json::array({Json::array()})}};
  for (int expert = 0; expert < 32; ++expert) {
    large["loads"][0].push_back(1.0 + 100.0 * std::pow(random.uniform(), 4));
  }
  std::atomic<bool> stop{true};
  PlaceOptions options = named("p.json");
  options.method = "swap";
  options.cancel = &stop;
  const PlaceResult stopped = place(large, options);
  CHECK(stopped.found.placement.experts == 32);
  stop = false;
  CHECK(place(large, options).found.score.objective < stopped.found.score.objective);
}

TEST_CASE("a scenario is placed, judged on unseen tokens, and simulated on request") {
  PlaceOptions options = scenario_options();
  const PlaceResult plain = place(testing::small_scenario(), options);
  REQUIRE(plain.scenario);
  CHECK(plain.scenario->verdict.empty());
  CHECK_FALSE(to_json(plain).contains("verdict"));

  std::vector<double> shares;
  options.simulate = true;
  options.batches = 1;
  options.progress = [&](double share) { shares.push_back(share); };
  const PlaceResult result = place(testing::small_scenario(), options);
  REQUIRE(result.scenario);
  const PlacedScenario& placed = *result.scenario;
  REQUIRE(placed.generalisation.size() == 3);
  CHECK(placed.generalisation.front().placement == "contiguous");
  CHECK_FALSE(placed.generalisation.front().gain_fitted);
  const GeneralisationRow& found = placed.generalisation.back();
  CHECK(found.placement == "found");
  CHECK(found.fitted == result.found.score.objective);
  REQUIRE(found.gain_fitted);
  CHECK(*found.gain_fitted == Approx(1.0 - found.fitted / placed.generalisation.front().fitted));
  CHECK(*found.gain_fitted > 0.0);
  CHECK(placed.provenance.statistics_tokens == 2048);
  CHECK(placed.decode);
  REQUIRE(placed.verdict.size() == 6);  // three placements, each on seen and unseen tokens
  CHECK(std::ranges::all_of(placed.verdict, [](const VerdictRow& row) { return row.step_s > 0; }));
  REQUIRE_FALSE(shares.empty());
  CHECK(shares.back() == 1.0);
  const Json document = to_json(result);
  CHECK(document.at("generalisation").at("found").at("fitted") == found.fitted);
  CHECK(document.at("verdict").size() == 6);
  CHECK(document.at("verdict").at(0).at("tpot_s") == placed.verdict[0].step_s);
  CHECK(document.at("provenance").at("basis") == placed.provenance.costs.basis);
  // Model layer 0 is dense.
  CHECK(result.layers.first_layer == 1);
  CHECK(result.layers.layers.size() == result.found.placement.slot_expert.size());
}

TEST_CASE("a result is exported in an engine's format, with the model's layers") {
  const test::TemporaryFolder folder;
  PlaceOptions options = scenario_options();
  options.exports = {{"sglang", folder.file("e.json")}};
  const PlaceResult result = place(testing::small_scenario(), options);
  export_placement(result, options.exports.front());
  const PlacementFile read = read_placement_file(
      folder.file("e.json"), {.devices = result.layers.devices, .first_layer = 1, .layers = {}});
  CHECK(read.format == "sglang");
  CHECK(read.placement.slot_expert == result.found.placement.slot_expert);
}

TEST_CASE("exports that cannot be written are refused before the search") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("p.json");
  write_text_file(path, problem().dump());
  const auto refusal = [&](const PlacementExport& target) -> std::string {
    PlaceOptions options = named(path);
    options.exports = {target};
    options.method = "no such solver";  // would be the search's complaint
    try {
      (void)place(problem(), options);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  };
  CHECK_THAT(refusal({"yaml", folder.file("e.json")}), Catch::StartsWith("--export"));
  CHECK_THAT(refusal({"sglang", path}), Catch::Contains("would replace what is read"));
  CHECK_THAT(refusal({"sglang", folder.file("no/e.json")}), Catch::Contains("does not exist"));
  CHECK_THAT(refusal({"sglang", folder.file("e.json")}), Catch::StartsWith("--method"));
}

TEST_CASE("what place cannot do is the caller's error") {
  PlaceOptions options = named("p.json");
  options.simulate = true;
  CHECK_THROWS_WITH(place(problem(), options), Catch::StartsWith("--simulate: "));
  options = scenario_options();
  options.batches = 0;
  CHECK_THROWS_WITH(place(testing::small_scenario(), options), Catch::StartsWith("--batches 0"));
  options = scenario_options();
  options.fit_share = 1.5;
  CHECK_THROWS_WITH(place(testing::small_scenario(), options),
                    Catch::StartsWith("--fit-share 1.5"));
  Json bad = problem();
  bad["gpus"] = 0;
  CHECK_THROWS_WITH(place(bad, named("p.json")), Catch::StartsWith("p.json#/gpus"));
  Json dense = testing::small_scenario();
  dense["model"] = "no-such-model";
  CHECK_THROWS_WITH(place(dense, scenario_options()), Catch::StartsWith("test.json#/model"));
}

TEST_CASE("bits are allotted, and take no options of placements") {
  const Json document = Json::parse(R"({"kind": "bits", "mean_bits": 2,
    "blocks": [{"frequency": [0.6, 0.3, 0.1], "weight": [0.5, 0.3, 0.2],
                "error": [[9, 4, 1], [9, 4, 1], [9, 4, 1]]}]})");
  CHECK(place_kind(document) == PlaceKind::bits);
  CHECK(place_kind(problem()) == PlaceKind::problem);
  CHECK(place_kind(testing::small_scenario()) == PlaceKind::scenario);
  const PlaceBitsResult result = place_bits(document, named("bits.json"));
  CHECK(result.allocation.bits == std::vector<std::vector<int>>{{3, 2, 1}});
  CHECK(result.allocation.proven);
  CHECK(to_json(result).at("bits") == Json::parse("[[3, 2, 1]]"));
  PlaceOptions options = named("bits.json");
  options.redundant = 1;
  CHECK_THROWS_WITH(place_bits(document, options), Catch::StartsWith("bits.json: allots bits"));
}
