#include "sim/reproduce/run_kinds.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/core/error.h"
#include "sim/reproduce/claim_scenario.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using Json = nlohmann::json;

namespace {

Json run(std::string_view kind, const Json& document) {
  const Library library(moesim::testing::shipped_catalogs());
  return *run_kind(kind).run({document, {}}, "run", library).report;
}

Json exchange() {
  return {{"hardware", {{"cluster", "a100-8x-ib200"}, {"nodes", 2}}},
          {"algorithm", "pairwise"},
          {"devices", 16},
          {"bytes", "16 MB"},
          {"message_overhead", "10 us"}};
}

}  // namespace

TEST_CASE("a communication algorithm is run from data", "[reproduce][unit]") {
  const Json report = run("communication", exchange());
  CHECK(report["messages"] == 16);
  CHECK(report["bytes"]["network"].get<double>() == Approx(8e6));
  double sum = 0;
  for (const Json& step : report["steps"]) {
    sum += step["time_s"].get<double>();
  }
  CHECK(report["time_s"].get<double>() == Approx(sum));
  Json bad = exchange();
  bad["algorithm"] = "pigeons";
  CHECK_THROWS_WITH(run("communication", bad),
                    Catch::Contains("run#/algorithm") && Catch::Contains("two_dimensional"));
  bad = exchange();
  bad["devices"] = 24;
  CHECK_THROWS_WITH(run("communication", bad), Catch::Contains("run#/devices"));
  bad["devices"] = 12;
  CHECK_THROWS_WITH(run("communication", bad), Catch::Contains("whole nodes"));
  bad = exchange();
  bad["device"] = 1;
  CHECK_THROWS_WITH(run("communication", bad), Catch::Contains("unknown key"));
}

TEST_CASE("flows and models are run from data", "[reproduce][unit]") {
  const Json flows =
      run("flows", {{"algorithm", "minimal_split"}, {"leaves", 2}, {"spines", 4}, {"flows", 6}});
  CHECK(flows["max_link_load"] == 1.5);
  CHECK(flows["subflows"] == 2 * 4);
  CHECK_THROWS_WITH(run("flows", {{"algorithm", "hash"}}), Catch::Contains("minimal_split"));
  const Json model = run("model", {{"model", "mixtral-8x7b"}});
  CHECK(model["total_parameters"].get<double>() == Approx(46.7e9).epsilon(0.01));
  CHECK(model["layers"] == 32);
  CHECK_THROWS_WITH(run("model", Json::object()), Catch::Contains("run#/model"));
}

TEST_CASE("a layer's phases may be exchanges and kernels", "[reproduce][unit]") {
  Json grid = Json::parse(R"({
    "hardware": {"cluster": "a100-8x-ib200", "nodes": 2}, "message_overhead": "10 us",
    "over": {"n": [8, 16]}, "degrees": [1],
    "passes": [{"name": "forward", "phases": [
      {"name": "dispatch", "stream": "network",
       "exchange": {"fastest_of": ["pairwise", "two_dimensional"], "devices": "n", "bytes": 1e6}},
      {"name": "experts", "stream": "compute",
       "kernel": {"op": "experts", "rows": 64, "experts": 4, "hidden": 1024, "inter": 2048,
                  "matrices": 3}},
      {"name": "product", "stream": "compute",
       "kernel": {"op": "gemm", "m": 64, "n": 1024, "k": 1024, "batch": 1}},
      {"name": "copy", "stream": "compute",
       "kernel": {"op": "memory", "read": 1e6, "written": 1e6}}]}]})");
  const Json report = run("layer_grid", grid);
  REQUIRE(report["points"].size() == 2);
  CHECK(report["points"][0]["values"]["n"] == 8);
  CHECK(report["points"][1]["seconds"] > report["points"][0]["seconds"]);
  grid.erase("hardware");
  CHECK_THROWS_WITH(run("layer_grid", grid), Catch::Contains("run#/hardware"));
}

TEST_CASE("a grid of a run is every combination, the last pointer fastest", "[reproduce][unit]") {
  const Json scenario = Json::parse(R"({
    "claims": ["one"], "measure": "flows.points.max_link_load", "assumed": [],
    "runs": {"flows": {"kind": "flows",
                       "base": {"algorithm": "spray", "leaves": 2, "spines": 1, "flows": 1},
                       "set": {"/leaves": 3},
                       "grid": {"/flows": [1, 2, 3], "/spines": [4, 5]}}}})");
  const ClaimScenario read = parse_claim_scenario(scenario, "s.json");
  const ClaimRun& description = read.runs.at("flows");
  CHECK(description.kind == "flows");
  REQUIRE(description.points() == 6);
  const Json second = run_document(read, "flows", {}, 1).json;
  CHECK(second["flows"] == 1);
  CHECK(second["spines"] == 5);
  CHECK(second["leaves"] == 3);
  CHECK(run_document(read, "flows", {}, 4).json["flows"] == 3);
  for (const auto& [pointer, value, what] : std::vector<std::tuple<const char*, Json, const char*>>{
           {"/runs/flows/grid/~1flows", Json::array(), "no list"},
           {"/runs/flows/grid/flows", Json::array({1}), "no JSON pointer"},
           {"/runs/flows/kind", "guess", "layer_grid"}}) {
    Json bad = scenario;
    bad[Json::json_pointer(pointer)] = value;
    CHECK_THROWS_WITH(parse_claim_scenario(bad, "s.json"), Catch::Contains(what));
  }
}

TEST_CASE("a pipeline of paths is run from data", "[reproduce][unit]") {
  // Two stages, one micro-batch: 1 + 0.5 + 2 + 4 + 0.5 + 2 s.
  Json document = Json::parse(R"({
    "stages": [[0], [1]], "paths": [[[0, 0], [1, 0]]], "micro_batches": 1,
    "parts": [{"forward": "1 s", "backward": "2 s"}, {"forward": "2 s", "backward": "4 s"}],
    "send": [[0, 0.5], [0.5, 0]]})");
  CHECK(run("paths", document)["makespan_s"].get<double>() == Approx(10.0));
  for (const auto& [key, value, what] : std::vector<std::tuple<const char*, Json, const char*>>{
           {"stages", Json::array(), "run#/stages"},
           {"paths", {{{0, 0}, {2, 0}}}, "[2,0]"},
           {"paths", Json::array(), "run#/paths"},
           {"micro_batches", 0, "run#/micro_batches"},
           {"send", {{0, 1}}, "no square"},
           {"slots", {{1}}, "run#/slots"},
           {"parts", {{{"forward", "1 s"}}}, "backward"}}) {
    Json bad = document;
    bad[key] = value;
    CHECK_THROWS_WITH(run("paths", bad), Catch::Contains(what));
  }
}
