// The initial placement for ever.
#include "placement/rebalance/rebalance_policies.h"

namespace moesim::rebalance {

std::vector<int> plan_never(RebalanceStudy& study) {
  return std::vector<int>(static_cast<std::size_t>(study.windows()), 0);
}

}  // namespace moesim::rebalance
