#include "sim/engine/deployment.h"

#include "sim/core/error.h"

namespace moesim {

Deployment::Deployment(std::shared_ptr<const System> system, ExpertPlacement placement)
    : system_(std::move(system)), placement_(std::move(placement)) {
  if (!system_->has_experts()) {
    return;
  }
  const RoutingShape& shape = system_->routing_shape();
  ensure(placement_.devices == system_->ranks().units() &&
             placement_.experts == shape.ffn_experts &&
             placement_.slot_expert.size() == static_cast<std::size_t>(shape.layers),
         "a placement has the scenario's ranks, experts and layers");
  check_placement(placement_);
  const AllToAllLowering exchange =
      make_all_to_all(system_->topology(), system_->comm_profiles(), system_->comm_target(),
                      system_->model(), system_->scenario().policy, system_->ranks(), 0,
                      placement_.slots(), static_cast<int>(shape.top_k));
  replicas_ = replica_choices(placement_, exchange.node_of_rank());
  needs_distinct_ = exchange.algorithm().needs_distinct;
}

}  // namespace moesim
