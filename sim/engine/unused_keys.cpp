#include "sim/engine/unused_keys.h"

#include <initializer_list>

#include "placement/solver.h"
#include "sim/engine/exchange/all_to_all.h"

namespace moesim {
namespace {

using Pointers = std::initializer_list<const char*>;

constexpr Pointers for_exchange{"/policy/all_to_all", "/policy/all_to_all_link_rate",
                                "/policy/dispatch", "/policy/combine"};
constexpr Pointers for_copies{"/policy/all_to_all_link_rate", "/policy/dispatch",
                              "/policy/combine"};
constexpr Pointers for_placement{
    "/placement/file",       "/placement/policy",     "/placement/redundant_experts",
    "/placement/comm_model", "/placement/statistics", "/placement/statistics_tokens"};
constexpr Pointers for_routing{"/workload/routing", "/workload/routing_sample",
                               "/policy/token_residency", "/run/routing", "/seed"};
constexpr Pointers for_statistics{"/placement/comm_model", "/placement/statistics",
                                  "/placement/statistics_tokens"};

class Notes {
 public:
  explicit Notes(const Scenario& scenario) : where_(scenario.where), record_(scenario.keys) {}

  void unused(Pointers pointers, const char* reason) {
    for (const char* pointer : pointers) {
      record_.unused(where_ + pointer, reason);
    }
  }
  [[nodiscard]] std::vector<std::string> warnings() const { return record_.warnings(); }

 private:
  std::string where_;
  KeyRecord record_;
};

bool looks_at_statistics(const Scenario& scenario) {
  const PlacementChoice& choice = scenario.placement;
  return choice.redundant_experts > 0 || choice.policy.empty() ||
         !find_placement_solver(choice.policy, scenario.where + "/placement/policy").fixed_rule;
}

}  // namespace

std::vector<std::string> unused_key_warnings(const Scenario& scenario, const KeyUse& use) {
  Notes notes(scenario);
  if (!scenario.policy.cuda_graphs.value_or(true)) {
    notes.unused({"/policy/batch_padding"}, "the steps are not captured");
  }
  if (!use.routed_experts) {
    constexpr const char* reason = "the model has no routed experts";
    notes.unused(for_routing, reason);
    notes.unused(for_placement, reason);
    notes.unused(for_exchange, reason);
    return notes.warnings();
  }
  if (use.expert_ranks == 1) {
    constexpr const char* reason = "every rank holds all experts, and none exchanges tokens";
    notes.unused(for_placement, reason);
    notes.unused(for_exchange, reason);
  } else if (scenario.policy.all_to_all == k_tp_allreduce) {
    notes.unused(for_copies, "tp_allreduce exchanges no tokens");
  }
  if (use.expert_ranks > 1 && !looks_at_statistics(scenario)) {
    notes.unused(for_statistics, "a fixed rule without redundant experts looks at no statistics");
  }
  if (scenario.run.routing == RoutingUse::expected && !looks_at_statistics(scenario)) {
    notes.unused({"/workload/routing_sample"}, "expected routing counts every token");
  }
  return notes.warnings();
}

}  // namespace moesim
