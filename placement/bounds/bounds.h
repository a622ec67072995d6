// Lower bounds on the objective: no placement of the problem costs less. Every bound holds whatever
// its iterations did: they only make it tighter.
#pragma once

#include <string>
#include <vector>

#include "placement/solver.h"

namespace moesim {

struct PlacementBound {
  double value = 0.0;    // the best of what follows
  double load = 0.0;     // alpha * sum of load bounds
  double traffic = 0.0;  // beta * least traffic, loads ignored
  double joint = 0.0;    // load and traffic together; 0: not computed
  std::vector<std::string> methods;
};

// Load of the busiest device of a layer, slowness included, whatever the replicas: the mean; the
// busiest expert; pigeonhole bounds over the heaviest experts; water-filling with replicas.
double layer_load_bound(const PlacementProblem& problem, int layer);

// What one layer pair (interlayer) contributes: an upper bound on the weighted pairs that are kept
// from travelling, sum T (c_intra x + (c_inter - c_intra) y) where x (same device) <= y (same
// node), as a function of the largest loads of both layers.
struct RetainedBound {
  double constant = 0.0;  // kept <= constant + from_load * M_l + to_load * M_(l+1)
  double from_load = 0.0;
  double to_load = 0.0;
};

// Lagrangian dual of the b-matching relaxation: an expert shares its device with at most `slots`
// experts of the next layer (slots * devices_per_node in its node) and, if `with_loads`, their
// loads sum to at most M. Multipliers by Polyak's subgradient steps towards `target`, the kept
// weight of a known placement. `from_most`, `to_most`: M_l and M_(l+1) at which it should be tight.
RetainedBound retained_bound(const PlacementProblem& problem, int layer, bool with_loads,
                             double from_most, double to_most, double target, int iterations,
                             const SolverRun& run);

// Sum over a layer's sampled tokens of weighted devices and nodes visited (dispatch): per item, the
// partners with which it shares the most tokens.
double dispatch_layer_bound(const PlacementProblem& problem, int layer);

// Everything together. `incumbent`: a feasible placement, for the multipliers' targets.
PlacementBound placement_bound(const PlacementProblem& problem, const ExpertPlacement& incumbent,
                               int iterations, SolverRun& run);

}  // namespace moesim
