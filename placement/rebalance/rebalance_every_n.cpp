// A new placement every n windows, whatever it costs.
#include "placement/rebalance/rebalance_policies.h"

namespace moesim::rebalance {

std::vector<int> plan_every_n(RebalanceStudy& study) {
  return plan_forward(study, [](const PastView& past) {
    return past.window() % past.options().every == 0 ? past.proposal() : past.current();
  });
}

}  // namespace moesim::rebalance
