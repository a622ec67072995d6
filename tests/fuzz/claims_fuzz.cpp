// A file of claims, or a claim's scenario. An accepted expression finds a finite value or says why
// not, whatever its names stand for.
#include <cmath>
#include <nlohmann/json.hpp>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/reproduce/claim_scenario.h"
#include "sim/reproduce/claims.h"
#include "tests/fuzz/oracle.h"

namespace {

void value_of(const moesim::Expression& expression) {
  const auto lookup = [](const std::string& name) {
    return std::vector<double>(name.size() % 3, static_cast<double>(name.size()));
  };
  try {
    moesim::fuzz::require(std::isfinite(expression.value(lookup)), "a value is finite");
  } catch (const moesim::ConfigError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const nlohmann::json document =
        moesim::parse_json(moesim::fuzz::as_text(data, size), "fuzz.json");
    if (document.is_array()) {
      for (const moesim::Claim& claim : moesim::parse_claims(document, "fuzz.json")) {
        moesim::fuzz::require(claim.numbers.size() == claim.half_digits.size(),
                              "every number has its last digit");
      }
      return 0;
    }
    const moesim::ClaimScenario scenario = moesim::parse_claim_scenario(document, "fuzz.json");
    moesim::fuzz::require(!scenario.measures.empty(), "an accepted scenario measures a claim");
    for (const moesim::ClaimMeasure& measure : scenario.measures) {
      for (const moesim::Expression& figure : measure.figures) {
        value_of(figure);
      }
    }
  } catch (const moesim::ConfigError&) {
  }
  return 0;
}
