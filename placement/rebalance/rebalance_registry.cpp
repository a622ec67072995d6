// Every rebalancing policy, in the order in which they are documented.
#include <algorithm>
#include <array>

#include "placement/published/eplb.h"
#include "placement/rebalance/rebalance_policies.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

std::string always_fit(const RebalanceTask& /*task*/) { return {}; }
std::string unfit_for_eplb(const RebalanceTask& task) { return unfit_eplb(task.problem); }

constexpr std::array table{
    RebalancePolicyEntry{"never", "the initial placement for ever", false, always_fit,
                         rebalance::plan_never},
    RebalancePolicyEntry{"every_n", "a new placement every n windows", false, always_fit,
                         rebalance::plan_every_n},
    RebalancePolicyEntry{"threshold", "a new placement when its gain pays for the move", false,
                         always_fit, rebalance::plan_threshold},
    RebalancePolicyEntry{"few_moves", "a few exchanges and replicas where they pay", false,
                         always_fit, rebalance::plan_few_moves},
    RebalancePolicyEntry{"eplb_periodic", "EPLB every n windows, as engines do", false,
                         unfit_for_eplb, rebalance::plan_eplb_periodic},
    RebalancePolicyEntry{"oracle", "the best sequence for loads known beforehand: a bound", true,
                         always_fit, rebalance::plan_oracle},
};

}  // namespace

std::span<const RebalancePolicyEntry> rebalance_policies() { return table; }

const RebalancePolicyEntry& find_rebalance_policy(std::string_view name, const std::string& where) {
  const auto found = std::ranges::find(table, name, &RebalancePolicyEntry::name);
  if (found == table.end()) {
    std::vector<std::string_view> names;
    for (const RebalancePolicyEntry& entry : table) {
      names.push_back(entry.name);
    }
    throw ConfigError(where, "\"" + std::string(name) +
                                 "\" is no rebalancing policy; choose from " + joined(names));
  }
  return *found;
}

}  // namespace moesim
