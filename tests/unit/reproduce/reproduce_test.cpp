#include "sim/reproduce/reproduce.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/core/error.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using Json = nlohmann::json;

namespace {

constexpr const char* k_claims = R"([
  {"id": "faster", "kind": "predict", "unit": "x", "value": 1.2,
   "tolerance": {"type": "relative", "value": 0.9}},
  {"id": "share", "kind": "calibrate", "unit": "fraction", "value": 0.25,
   "tolerance": {"type": "absolute", "value": 0.01}},
  {"id": "pairs", "kind": "report", "unit": "tokens", "value": "2*G*N*L*p",
   "tolerance": {"type": "none", "value": null}},
  {"id": "listed", "kind": "predict", "unit": "fraction", "value": 0.1, "value_text": [0.1, 0.2],
   "tolerance": {"type": "absolute", "value": 0.01}},
  {"id": "untouched", "kind": "predict", "unit": "ms", "value": [1, 2],
   "tolerance": {"type": "relative", "value": 0.1}}
])";

// Four layers' worth of Mixtral on four ranks: the link's bandwidth decides the share of exchanges.
Json scenario() {
  return Json::parse(R"({
    "claims": ["faster", "share", "pairs"],
    "runs": {
      "slow": {"base": "mixtral_8x7b_decode_tp2ep4_h100",
               "set": {"/workload/routing": "power_law:0.5", "/policy/all_to_all": "expert_copies"}},
      "fast": {"base": "mixtral_8x7b_decode_tp2ep4_h100",
               "set": {"/workload/routing": "balanced", "/policy/all_to_all": "expert_copies"}},
      "again": {"base": "mixtral_8x7b_decode_tp2ep4_h100",
                "set": {"/workload/routing": "balanced", "/policy/all_to_all": "expert_copies"}}},
    "fit": {"set": "/hardware/node/device_link/bandwidth", "unit": "GB/s",
            "runs": ["slow", "fast", "again"], "between": [2, 450],
            "measure": "(slow.breakdown.dispatch_s + slow.breakdown.combine_s) / slow.metrics.step_s",
            "to": 0.25, "claim": "share"},
    "measure": {
      "faster": "slow.metrics.step_s / fast.metrics.step_s",
      "share": "(slow.breakdown.dispatch_s + slow.breakdown.combine_s) / slow.metrics.step_s",
      "pairs": "again.metrics.token_transfers"},
    "judge": {"pairs": {"published": "2 * 4 * 64 * 2 * 32 * fast.metrics.remote_ratio",
                        "tolerance": {"type": "exact"}, "why": "the formula with these numbers"}},
    "assumed": ["64 requests"]
  })");
}

Json unfitted() {
  Json document = scenario();
  document.erase("fit");
  return document;
}

ReproduceTask task_of(const Json& document, std::vector<std::string> ids = {}, int threads = 1) {
  return {.claims = parse_claims(Json::parse(k_claims), "claims.json"),
          .claims_name = "claims.json",
          .scenarios = {parse_claim_scenario(document, "s.json")},
          .ids = std::move(ids),
          .scenario_folders = {std::string(MOESIM_SOURCE_DIR) + "/sim/scenarios"},
          .catalogs = moesim::testing::shipped_catalogs(),
          .threads = threads,
          .progress = {}};
}

}  // namespace

TEST_CASE("claims are run, fitted and judged", "[reproduce][unit]") {
  const ReproduceTask task = task_of(scenario());
  const std::vector<ClaimResult> results = reproduce(task);
  REQUIRE(results.size() == 5);
  // Balanced routing is no slower than skewed, and 90 % of tolerance holds anything near 1.
  CHECK(results[0].verdict == Verdict::reproduced);
  CHECK(results[0].simulated.front() >= 1.0);
  CHECK(results[1].verdict == Verdict::reproduced);
  CHECK(results[1].simulated.front() == Approx(0.25).epsilon(1e-3));
  REQUIRE(results[1].fit);
  CHECK(results[1].fit->reached);
  CHECK(results[2].verdict == Verdict::reproduced);
  CHECK(results[4].verdict == Verdict::not_attempted);

  const Json document = results_json(results);
  const Json& rows = document["claims"];
  for (const Json& row : rows) {
    for (const char* key :
         {"id", "published", "simulated", "ratio", "tolerance", "verdict", "scenario"}) {
      CHECK(row.contains(key));
    }
  }
  CHECK(rows[2]["published_as"] == "2*G*N*L*p");
  CHECK(rows[4]["simulated"].is_null());
  CHECK(rows[4]["published"] == Json::array({1, 2}));
  CHECK(rows[1]["fit"]["claim"] == "share");
}

TEST_CASE("verdicts do not depend on threads", "[reproduce][property]") {
  const ReproduceTask one = task_of(scenario());
  const ReproduceTask three = task_of(scenario(), {}, 3);
  CHECK(results_json(reproduce(one)).dump() == results_json(reproduce(three)).dump());
}

TEST_CASE("only what wanted claims need is run", "[reproduce][unit]") {
  Json document = unfitted();
  document["runs"]["slow"]["base"] = "no_such_scenario";
  const ReproduceTask pairs = task_of(document, {"pairs", "untouched"});
  const auto results = reproduce(pairs);
  REQUIRE(results.size() == 2);
  CHECK(results[0].verdict == Verdict::reproduced);
  const ReproduceTask all = task_of(document);
  CHECK_THROWS_WITH(reproduce(all), Catch::Contains("no_such_scenario"));
}

TEST_CASE("what cannot be judged honestly is refused", "[reproduce][unit]") {
  const auto refused = [](const Json& document, const std::string& place, const std::string& what,
                          std::vector<std::string> ids = {}) {
    const ReproduceTask task = task_of(document, std::move(ids));
    CHECK_THROWS_WITH(reproduce(task), Catch::Contains(place) && Catch::Contains(what));
  };
  Json own = scenario();
  own["fit"]["claim"] = "faster";
  own["fit"]["to"] = 1.2;
  refused(own, "s.json#/fit/claim", "of kind predict");
  Json aside = scenario();  // of the same claim, but neither its headline nor what is measured
  aside["fit"]["claim"] = "listed";
  aside["fit"]["to"] = 0.2;
  aside["claims"] = {"share"};
  aside["measure"] = {{"share", scenario()["measure"]["share"]}};
  aside.erase("judge");
  const auto of_list = reproduce(task_of(aside, {"share"}));
  CHECK(of_list.front().fit->figure == Approx(0.2).epsilon(1e-3));
  aside["fit"]["to"] = 0.1;
  refused(aside, "s.json#/fit/claim", "list or baseline");
  Json twin = scenario();
  twin["measure"]["faster"] = twin["fit"]["measure"];
  refused(twin, "s.json#/fit/measure", "what faster is to predict");
  Json other = scenario();
  other["fit"]["to"] = 0.26;
  refused(other, "s.json#/fit/to", "0.25");
  Json nobody = scenario();
  nobody["fit"]["claim"] = "nobody";
  refused(nobody, "s.json#/fit/claim", "nobody");
  Json lenient = unfitted();
  lenient["judge"]["faster"] = {{"tolerance", {{"type", "sign"}}}, {"why", "easier"}};
  refused(lenient, "s.json#/judge/faster/tolerance", "of its own");
  Json formula = unfitted();
  formula.erase("judge");
  refused(formula, "s.json#/judge/pairs", "no number");
  Json many = unfitted();
  many["measure"]["faster"] = {"fast.metrics.step_s", "slow.metrics.step_s"};
  refused(many, "s.json#/measure", "1 figures, but 2");
  for (const char* nothing : {"1", "fast.scenario.seed"}) {
    Json idle = unfitted();
    idle["measure"]["faster"] = nothing;
    CHECK_THROWS_WITH(task_of(idle), Catch::Contains("s.json#/measure/faster") &&
                                         Catch::Contains("measures nothing"));
  }
  Json run = unfitted();
  run["measure"]["faster"] = "slow";
  refused(run, "s.json#/measure", "slow.metrics.step_s");
  refused(scenario(), "claims.json", "nearest are: faster", {"fasster"});
  Json bad = unfitted();
  bad["runs"]["fast"]["set"]["/policy/all_to_all"] = "pigeons";
  refused(bad, "s.json run fast#/policy/all_to_all", "deepep_low_latency");
}
