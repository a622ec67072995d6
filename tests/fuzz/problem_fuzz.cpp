// A placement problem: refused with a ConfigError, or solved: the default's placement is feasible
// and no bound exceeds what it costs.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "placement/optimise.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "tests/fuzz/oracle.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moesim;
  PlacementProblem problem;
  try {
    problem = read_placement_problem(parse_json(fuzz::as_text(data, size), "fuzz"), "fuzz");
  } catch (const ConfigError&) {
    return 0;
  }
  // Large problems are read like small ones, and solving them is no parser's affair.
  if (std::int64_t{problem.layers} * problem.experts * problem.slots() > 4096) {
    return 0;
  }
  try {
    const PlacementResult result = optimise_placement(problem, "auto", {.time_limit_s = 0.05});
    fuzz::require(result.lower_bound <= result.score.objective * (1.0 + 1e-9),
                  "no bound exceeds an objective");
  } catch (const ConfigError&) {
    // Rules that leave no placement.
  }
  return 0;
}
