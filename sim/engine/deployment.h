// A system with its experts in place. Placements change while time goes on; a deployment does not:
// the next one takes its place.
#pragma once

#include <memory>
#include <vector>

#include "sim/engine/system.h"

namespace moesim {

class Deployment {
 public:
  // Throws InvariantError unless the placement has the system's layers, experts and units.
  Deployment(std::shared_ptr<const System> system, ExpertPlacement placement);

  [[nodiscard]] const System& system() const { return *system_; }
  [[nodiscard]] const std::shared_ptr<const System>& shared_system() const { return system_; }
  [[nodiscard]] const ExpertPlacement& placement() const { return placement_; }
  // The replica rule of every routing layer.
  [[nodiscard]] std::span<const ReplicaChoice> replicas() const { return replicas_; }
  // The all-to-all sends a token once per rank or node.
  [[nodiscard]] bool needs_distinct() const { return needs_distinct_; }

 private:
  std::shared_ptr<const System> system_;
  ExpertPlacement placement_;
  std::vector<ReplicaChoice> replicas_;
  bool needs_distinct_ = false;
};

}  // namespace moesim
