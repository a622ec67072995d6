// What SGLang and vLLM do: EPLB on the recent loads every n windows, whatever it costs.
#include "placement/rebalance/rebalance_policies.h"

namespace moesim::rebalance {

std::vector<int> plan_eplb_periodic(RebalanceStudy& study) {
  return plan_forward(study, [](const PastView& past) {
    return past.window() % past.options().every == 0 ? past.eplb_proposal() : past.current();
  });
}

}  // namespace moesim::rebalance
