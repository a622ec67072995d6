#include "sim/app/place_rebalance.h"

#include <algorithm>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/app/catalog.h"
#include "sim/app/trace.h"
#include "sim/core/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using Json = nlohmann::json;

namespace {

struct Drift {
  test::TemporaryFolder folder;
  PlaceRebalanceOptions options{.name = "drift",
                                .traces = {folder.file("t.moetrace")},
                                .windows = 4,
                                .devices = 8,
                                .time_per_token = Seconds(2e-7),
                                .expert_bytes = Bytes(17e6),
                                .intra_bandwidth = Bandwidth(2e11)};

  Drift() {
    trace_generate({.profile = "deepseek-v2-lite",
                    .profiles = catalog_folders({MOESIM_SOURCE_DIR}).routing_profiles,
                    .tokens = 2000,
                    .out = options.traces.front()});
  }
};

const RebalanceOutcome& outcome(const PlaceRebalanceResult& result, std::string_view policy) {
  return *std::ranges::find(result.outcomes, policy, &RebalanceOutcome::policy);
}

std::string refusal(const PlaceRebalanceOptions& options, const Json* scenario = nullptr) {
  try {
    (void)place_rebalance(options, scenario);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("every policy serves every window, and the oracle is never worse than staying") {
  Drift drift;
  std::vector<double> shares;
  drift.options.progress = [&](double share) { shares.push_back(share); };
  const PlaceRebalanceResult result = place_rebalance(drift.options);
  CHECK(result.outcomes.size() == rebalance_policy_names().size());
  CHECK(shares.size() == result.outcomes.size());
  CHECK(shares.back() == 1.0);
  CHECK(result.window_steps.size() == 4);
  CHECK(result.layers == 26);
  CHECK(result.devices == 8);
  const RebalanceOutcome& never = outcome(result, "never");
  CHECK(never.migrations == 0);
  CHECK(never.total_s > 0.0);
  CHECK(outcome(result, "oracle").total_s <= never.total_s);
  const Json document = to_json(result);
  CHECK(document.at("windows") == 4);
  CHECK(document.at("policies").at(0).at("total_s") == result.outcomes[0].total_s);
}

TEST_CASE("longer windows pay for moves, and a scenario gives what is left open") {
  Drift drift;
  drift.options.policies = {"never", "oracle"};
  drift.options.steps_per_window = 100'000;
  const PlaceRebalanceResult result = place_rebalance(drift.options);
  CHECK(result.window_steps == std::vector<double>(4, 100'000));
  CHECK(outcome(result, "oracle").migrations > 0);
  CHECK(outcome(result, "oracle").total_s < outcome(result, "never").total_s);

  const Json scenario = testing::small_scenario();
  const PlaceRebalanceResult again =
      place_rebalance({.name = "drift",
                       .traces = drift.options.traces,
                       .scenario = "test.json",
                       .catalogs = catalog_folders({MOESIM_SOURCE_DIR}),
                       .policies = {"never"},
                       .windows = 2},
                      &scenario);
  CHECK(again.devices == 8);
  CHECK(again.outcomes.size() == 1);
  CHECK(again.outcomes[0].total_s > 0.0);
}

TEST_CASE("what is missing or out of range is named as the command line names it") {
  Drift drift;
  PlaceRebalanceOptions options = drift.options;
  options.devices = 0;
  CHECK_THAT(refusal(options), Catch::StartsWith("--gpus: missing"));
  options = drift.options;
  options.time_per_token.reset();
  CHECK_THAT(refusal(options), Catch::StartsWith("--time-per-token: missing"));
  options = drift.options;
  options.windows = 0;
  CHECK_THAT(refusal(options), Catch::StartsWith("--windows 0: is outside of 1 to 1"));
  options = drift.options;
  options.policies = {"sometimes"};
  CHECK_THAT(refusal(options), Catch::StartsWith("--policy: \"sometimes\""));
  options = drift.options;
  options.traces.clear();
  CHECK_THAT(refusal(options), Catch::StartsWith("place rebalance: no traces"));
  options.scenario = "test.json";
  options.catalogs = catalog_folders({MOESIM_SOURCE_DIR});
  const Json scenario = testing::small_scenario();
  CHECK_THAT(refusal(options, &scenario), Catch::StartsWith("test.json: its routing is drawn"));
}
