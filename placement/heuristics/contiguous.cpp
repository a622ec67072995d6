// Expert e on device e * devices / experts: neighbours live together, as engines do by default.
#include "placement/heuristics/homes.h"

namespace moesim {

std::vector<int> contiguous_homes(const PlacementProblem& problem) {
  std::vector<int> homes;
  for (std::int64_t e = 0; e < problem.experts; ++e) {
    homes.push_back(static_cast<int>(e * problem.devices / problem.experts));
  }
  return homes;
}

}  // namespace moesim
