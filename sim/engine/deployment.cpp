#include "sim/engine/deployment.h"

#include "sim/core/error.h"

namespace moesim {

Deployment::Deployment(std::shared_ptr<const System> system, ExpertPlacement placement) {
  auto state = std::make_shared<State>(
      State{.system = std::move(system), .placement = std::move(placement), .replicas = {}});
  state_ = state;
  const System& of = *state->system;
  if (!of.has_experts()) {
    return;
  }
  const RoutingShape& shape = of.routing_shape();
  const ExpertPlacement& placed = state->placement;
  ensure(placed.devices == of.ranks().units() && placed.experts == shape.ffn_experts &&
             placed.slot_expert.size() == static_cast<std::size_t>(shape.layers),
         "a placement has the scenario's ranks, experts and layers");
  check_placement(placed);
  const AllToAllLowering exchange = make_all_to_all(
      of.topology(), of.comm_profiles(), of.comm_target(), of.model(), of.scenario().policy,
      of.ranks(), 0, placed.slots(), static_cast<int>(shape.top_k));
  state->replicas = replica_choices(placed, exchange.node_of_rank());
  state->needs_distinct = exchange.algorithm().needs_distinct;
}

}  // namespace moesim
