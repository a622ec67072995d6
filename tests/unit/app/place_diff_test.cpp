#include "sim/app/place_diff.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/app/catalog.h"
#include "sim/app/place.h"
#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using Json = nlohmann::json;

namespace {

// Two formats of one model with a dense first layer; layer 1 swaps experts 0 and 3.
struct TwoFiles {
  test::TemporaryFolder folder;
  PlaceDiffOptions options{.before = folder.file("a.json"),
                           .after = folder.file("b.yaml"),
                           .problem = "p.json",
                           .catalogs = {},
                           .first_layer = 1};
  Json problem = Json::parse(R"({"loads": [[4, 3, 2, 1], [1, 1, 1, 1]], "gpus": 2,
                                 "gpus_per_node": 1, "expert_bytes": "10 MB"})");

  TwoFiles() {
    write_text_file(options.before, R"({"physical_to_logical_map":
                                        [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]]})");
    write_text_file(options.after,
                    "initial_global_assignments:\n  1: [3, 1, 2, 0]\n  2: [0, 1, 2, 3]\n"
                    "num_slots: 4\nlayer_updates_per_iter: 0\n");
  }
};

}  // namespace

TEST_CASE("moves, their time and both scores come from the files and the problem") {
  TwoFiles files;
  files.options.inter_bandwidth = Bandwidth(1e9);
  const PlaceDiffResult result = place_diff(files.options, &files.problem);
  CHECK(result.diff.total.loaded == 2);
  CHECK(result.diff.total.kept == 6);
  CHECK(result.diff.inter_bytes == 20e6);
  CHECK(result.has_time());
  CHECK(result.diff.seconds == Approx(0.01));  // 10 MB each way
  REQUIRE(result.before.score);
  REQUIRE(result.after.score);
  CHECK(result.before.score->objective == 9.0);  // 7 + 2
  CHECK(result.after.score->objective == 8.0);   // 6 + 2
  const Json document = to_json(result);
  CHECK(document.at("before").at("format") == "sglang");
  CHECK(document.at("after").at("score").at("objective") == 8.0);
  CHECK(document.at("moves").size() == 2);
  CHECK(document.at("move_s") == result.diff.seconds);
}

TEST_CASE("without a problem there are moves alone, and what is given counts") {
  TwoFiles files;
  CHECK_THROWS_WITH(place_diff(files.options), Catch::Contains("--devices"));
  files.options.devices = 2;
  const PlaceDiffResult bare = place_diff(files.options);
  CHECK(bare.diff.total.across_nodes == 0);  // one node
  CHECK_FALSE(bare.has_time());
  CHECK_FALSE(bare.before.score);
  CHECK_FALSE(to_json(bare).contains("bytes"));
  files.options.devices_per_node = 1;
  files.options.expert_bytes = Bytes(3e6);
  const PlaceDiffResult sized = place_diff(files.options);
  CHECK(sized.diff.total.across_nodes == 2);
  CHECK(to_json(sized).at("bytes") == 6e6);
  CHECK_FALSE(sized.has_time());  // no rate is known
}

TEST_CASE("a scenario knows the links, and scores what was placed for it") {
  const test::TemporaryFolder folder;
  const Json scenario = testing::small_scenario();
  const CatalogFolders catalogs = catalog_folders({MOESIM_SOURCE_DIR});
  std::vector<std::string> paths;
  for (const char* method : {"contiguous", "lpt"}) {
    const PlaceResult placed = place(
        scenario,
        {.name = "test.json", .catalogs = catalogs, .method = method, .statistics_tokens = 2048});
    paths.push_back(folder.file(std::string(method) + ".json"));
    export_placement(placed, {"moesim", paths.back()});
  }
  const PlaceDiffResult result = place_diff(
      {.before = paths[0], .after = paths[1], .problem = "test.json", .catalogs = catalogs},
      &scenario);
  CHECK(result.scores_in_seconds);
  CHECK(result.has_time());
  CHECK(result.cost.intra_bandwidth > result.cost.inter_bandwidth);
  CHECK(result.after.score->objective < result.before.score->objective);
}

TEST_CASE("files of another shape are refused by name") {
  TwoFiles files;
  files.problem["loads"] = Json::parse("[[4, 3, 2, 1, 0, 0], [1, 1, 1, 1, 0, 0]]");
  CHECK_THROWS_WITH(place_diff(files.options, &files.problem), Catch::Contains("a.json"));
  files.options.before = files.folder.file("missing.json");
  CHECK_THROWS_AS(place_diff(files.options), ConfigError);
}
