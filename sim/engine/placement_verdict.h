// What placements are worth in a step: the same batches under each, those that the placement was
// fitted on and those that it has not seen.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "placement/placement.h"
#include "sim/engine/simulation.h"
#include "sim/flow/backend.h"

namespace moesim {

struct NamedPlacement {
  std::string name;
  ExpertPlacement placement;
};

struct VerdictRow {
  std::string placement;
  bool unseen = false;
  double step_s = 0.0;  // mean over the batches; of a decode step also the TPOT
  double balancedness = 0.0;
  double cross_node_ratio = 0.0;
  double exposed_communication_s = 0.0;
};

// Rows: placements in order, each in-sample and unseen. `fitted` draws the batches of the
// statistics, `unseen` others (the same object where the routing source is a generator).
// `batches` >= 1 of each. progress: share done.
std::vector<VerdictRow> placement_verdict(Simulation& fitted, Simulation& unseen,
                                          std::span<const NamedPlacement> placements, int batches,
                                          const Backend& backend,
                                          const std::function<void(double)>& progress);

}  // namespace moesim
