// A new placement when what it would have gained on the last window, times the windows over which
// loads are expected to stay like that, exceeds what the move costs.
#include "placement/rebalance/rebalance_policies.h"

namespace moesim::rebalance {

std::vector<int> plan_threshold(RebalanceStudy& study) {
  return plan_forward(study, [](const PastView& past) {
    const int proposal = past.proposal();
    return past.pays(proposal) ? proposal : past.current();
  });
}

}  // namespace moesim::rebalance
