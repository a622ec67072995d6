// Speculative MoE's balanced co-clustering of tokens and experts (arXiv 2503.04398): token types
// and experts go to devices so that a token mostly finds its experts where it is.
//   min theta * sum_g |sum_j R_gj a_j - S / G|
//       + (1 - theta) * sum_j a_j sum_k P_jk [device(j) != device(k)]
// a_j: occurrences of token type j, S their sum, P_jk: activations of expert k per occurrence, R
// and the expert placement 0/1, every device as many experts as it has slots. Solved as the paper
// does, alternately: experts given tokens (exactly, a transportation problem per layer), tokens
// given experts (single moves, and exchanges between two devices, until none helps).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "placement/problem.h"
#include "placement/solver.h"

namespace moesim {

struct TokenActivation {
  std::int32_t layer = 0;
  std::int32_t expert = 0;
  double count = 0.0;  // over all occurrences of the token type: a_j P_jk
};

struct CoClusterInput {
  int layers = 1;
  int experts = 0;
  int devices = 0;
  std::vector<int> capacity;                             // [device]: experts per layer
  std::vector<double> frequency;                         // [token type] a_j >= 0
  std::vector<std::vector<TokenActivation>> experts_of;  // [token type]
  double theta = 0.5;
  int starts = 4;  // contiguous experts, then random ones; the best answer counts
};

struct CoClusters {
  std::vector<std::vector<int>> device_of_expert;  // [layer][expert]
  std::vector<int> device_of_token;                // [token type]
  double objective = 0.0;
  double local_rate = 0.0;  // activations of an expert on the token's device, of all
  double imbalance = 0.0;   // busiest device's occurrences over the mean
};

// Deterministic without a time limit. Throws InvariantError for sizes that disagree.
CoClusters co_cluster(const CoClusterInput& input, const SolverRun& run);

// Its objective, from the definition.
double co_cluster_objective(const CoClusterInput& input, const CoClusters& clusters);

// For the solver table: the tokens of the sample are the token types, one cluster for all layers.
SolverAnswer place_co_clustering(const PlacementProblem& problem, SolverRun& run);
std::string unfit_co_clustering(const PlacementProblem& problem);

}  // namespace moesim
