// A system with its experts in place. Placements change while time goes on; a deployment does not:
// the next one takes its place.
#pragma once

#include <memory>
#include <vector>

#include "sim/engine/system.h"

namespace moesim {

// Cheap to copy: copies are the same deployment.
class Deployment {
 public:
  // Throws InvariantError unless the placement has the system's layers, experts and units.
  Deployment(std::shared_ptr<const System> system, ExpertPlacement placement);

  [[nodiscard]] const System& system() const { return *state_->system; }
  [[nodiscard]] const std::shared_ptr<const System>& shared_system() const {
    return state_->system;
  }
  [[nodiscard]] const ExpertPlacement& placement() const { return state_->placement; }
  // The replica rule of every routing layer.
  [[nodiscard]] std::span<const ReplicaChoice> replicas() const { return state_->replicas; }
  // The all-to-all sends a token once per rank or node.
  [[nodiscard]] bool needs_distinct() const { return state_->needs_distinct; }

  // Another deployment never is the same as one that still exists, whatever they hold.
  [[nodiscard]] bool same_as(const Deployment& other) const { return state_ == other.state_; }

 private:
  struct State {
    std::shared_ptr<const System> system;
    ExpertPlacement placement;
    std::vector<ReplicaChoice> replicas;
    bool needs_distinct = false;
  };
  std::shared_ptr<const State> state_;
};

}  // namespace moesim
