// Replicas of one layer's experts on equal devices, exactly: how many replicas each expert gets and
// where they live, so that the busiest device is as idle as possible. For tens of slots; beyond,
// the best answer found and a lower bound.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "placement/problem.h"
#include "placement/solver.h"

namespace moesim {

struct ExactReplication {
  std::vector<std::vector<int>> experts_on_device;  // every slot filled; sorted
  double max_load = 0.0;
  double lower_bound = 0.0;  // no placement does better
  bool proven = false;       // the two agree
};

// `loads`: [expert] >= 0. Every slot is filled, every expert has one at least; two replicas of one
// expert may share a device (as in DeepSeek's EPLB). `node_budget` bounds the search steps: results
// do not depend on time unless the run has a limit. Throws InvariantError for fewer slots than
// experts.
ExactReplication exact_replication(std::span<const double> loads, int devices, int slots_per_device,
                                   ReplicaSplit split, SolverRun& run, std::int64_t node_budget);

// The two cases. Even split: search over replica counts, best bound first, and a packing of each by
// branch and bound. Free split: bisection over the busiest load, each step a search that fills
// device after device.
ExactReplication exact_even_replication(std::span<const double> loads, int devices,
                                        int slots_per_device, const SolverRun& run,
                                        std::int64_t node_budget);
ExactReplication exact_free_replication(std::span<const double> loads, int devices,
                                        int slots_per_device, const SolverRun& run,
                                        std::int64_t node_budget);

}  // namespace moesim
