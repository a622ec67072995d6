// What a placement costs, computed from the definitions alone: no solver's bookkeeping is trusted.
#pragma once

#include <cstdint>
#include <vector>

#include "placement/placement.h"
#include "placement/problem.h"

namespace moesim {

struct PlacementScore {
  double objective = 0.0;          // alpha * load + beta * traffic
  double load = 0.0;               // sum over layers of the busiest device, slowness included
  double traffic = 0.0;            // weighted by c_intra and c_inter
  std::vector<double> layer_max;   // [layer]: busiest device
  std::vector<double> layer_mean;  // [layer]: mean over devices
  // interlayer: token pairs; dispatch: copies beyond the home device. Shares of `moves`.
  double moves = 0.0;
  double cross_device = 0.0;
  double cross_node = 0.0;
  double balancedness = 0.0;  // mean over layers of mean / max load
};

// Replicas: the load is split as problem.split says; traffic counts an equal share for every
// replica (pair). Throws InvariantError unless the placement has the problem's shape.
PlacementScore evaluate(const PlacementProblem& problem, const ExpertPlacement& placement);

// Load of every device of one layer.
std::vector<double> device_loads(const PlacementProblem& problem, const ExpertPlacement& placement,
                                 int layer);

// interlayer: token pairs from device to device [from * devices + to], over all layer pairs and
// with equal shares over replicas; empty for other traffic.
std::vector<double> traffic_matrix(const PlacementProblem& problem,
                                   const ExpertPlacement& placement);

// Throws ConfigError(where, ...) unless the placement obeys the problem: capacities, forbidden
// devices, every expert somewhere, number of replicas.
void check_feasible(const PlacementProblem& problem, const ExpertPlacement& placement,
                    const std::string& where);

// The fractions of expert loads that slots serve under ReplicaSplit::optimal: [slot], each the load
// (not the fraction) served there. The busiest device is as idle as possible: the maximum over
// subsets S of experts of load(S) / devices(S) (max-flow min-cut).
std::vector<double> optimal_slot_loads(const PlacementProblem& problem,
                                       const ExpertPlacement& placement, int layer);

}  // namespace moesim
