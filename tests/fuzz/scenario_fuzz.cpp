// A scenario document. An accepted one reads back the same from its effective document.
#include <nlohmann/json.hpp>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/engine/scenario.h"
#include "tests/fuzz/oracle.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const moesim::Scenario scenario = moesim::parse_scenario(
        moesim::parse_json(moesim::fuzz::as_text(data, size), "fuzz.json"), "fuzz.json");
    const moesim::Parallelism& p = scenario.parallelism;
    moesim::fuzz::require(
        p.attention_tp * p.attention_dp == p.expert_tp * p.expert_ep * p.expert_dp,
        "both rank maps cover the same ranks");
    const moesim::Scenario again = moesim::parse_scenario(scenario.effective, "effective.json");
    moesim::fuzz::require(again.effective == scenario.effective,
                          "the effective document is the same scenario");
  } catch (const moesim::ConfigError&) {
  }
  return 0;
}
