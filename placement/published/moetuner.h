// MoETuner's two integer programs (arXiv 2502.06643), one after the other: clusters of equal load,
// then clusters onto GPUs so that the worst pair of GPUs between two layers has little to carry.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "placement/problem.h"
#include "placement/solver.h"

namespace moesim {

// How the second program was solved.
enum class ClusterAssignment { none, exact_chain, sweeps };

struct MoetunerResult {
  // [layer][expert] -> cluster (as many as GPUs).
  std::vector<std::vector<int>> cluster;
  // [layer]: sum over clusters of |load - mean|.
  std::vector<double> imbalance;
  // [layer][cluster] -> GPU.
  std::vector<std::vector<int>> gpu_of_cluster;
  // sum over consecutive layers of max over GPU pairs of token pairs * distance.
  double worst_pair_sum = 0.0;
  ClusterAssignment assignment = ClusterAssignment::none;
  bool clusters_proven = false;  // the first program was solved to optimality in every layer
};

MoetunerResult solve_moetuner(const PlacementProblem& problem, SolverRun& run);

// For the solver table: proves nothing about F (its objective is another one).
SolverAnswer place_moetuner(const PlacementProblem& problem, SolverRun& run);
std::string unfit_moetuner(const PlacementProblem& problem);

// The second program, exposed for tests: traffic[l][c1 * clusters + c2] between clusters of layers
// l and l + 1; sizes[l][c]: experts of a cluster (a GPU of other capacity cannot take it, in exact
// mode). Fills gpu_of_cluster, worst_pair_sum and assignment.
void assign_clusters(const PlacementProblem& problem,
                     const std::vector<std::vector<double>>& traffic,
                     const std::vector<std::vector<int>>& sizes, const SolverRun& run,
                     MoetunerResult& result);

}  // namespace moesim
