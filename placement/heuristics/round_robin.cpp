// Expert e on device e mod devices: neighbours are dealt out.
#include "placement/heuristics/homes.h"

namespace moesim {

std::vector<int> round_robin_homes(const PlacementProblem& problem) {
  std::vector<int> homes;
  for (int e = 0; e < problem.experts; ++e) {
    homes.push_back(e % problem.devices);
  }
  return homes;
}

}  // namespace moesim
