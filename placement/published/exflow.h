// ExFlow's placement (arXiv 2401.08383, solve_affinity.py): as many token pairs as possible stay
// where they are from layer to layer. Experts go to nodes first, then to GPUs inside each node.
// Load is no objective: every group gets its number of experts and no more.
#pragma once

#include <string>
#include <vector>

#include "placement/problem.h"
#include "placement/solver.h"

namespace moesim {

// One stage: the items of every layer into bins. Bins hold equally many items in every layer.
struct AffinityStage {
  std::vector<std::vector<int>> items;  // [layer] -> experts
  std::vector<int> room;                // [bin]: items per layer, at most
};

struct AffinityResult {
  std::vector<std::vector<int>> bins;  // [layer][index of the item] -> bin
  double retained = 0.0;               // token pairs whose two experts share a bin
  bool proven = false;                 // of this stage
};

// Layer by layer first (each exactly, given its neighbours, until nothing improves), then the pair
// program over all layers, or over windows of two where that is too large:
//   max sum T_l[a, b] y_l[a, b, c],  y_l[a, b, c] <= x[l, a, c],  y_l[a, b, c] <= x[l + 1, b, c].
// It is the published program with tokens summed up to pairs of experts: the same optimum.
AffinityResult maximise_affinity(const PlacementProblem& problem, const AffinityStage& stage,
                                 const SolverRun& run);

SolverAnswer place_exflow(const PlacementProblem& problem, SolverRun& run);
std::string unfit_exflow(const PlacementProblem& problem);

}  // namespace moesim
