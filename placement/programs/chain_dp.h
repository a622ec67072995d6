// Exact placement by dynamic programming over layers (Viterbi): a state is a feasible assignment of
// one layer. Devices of a node, and nodes, that are alike can be renamed without changing costs, so
// only one state of each class of renamings is kept per layer.
#pragma once

#include "placement/solver.h"

namespace moesim {

// Additions that the dynamic programme would make; infinite where there are too many states to
// list.
double chain_dp_work(const PlacementProblem& items);

// The optimum, with lower_bound = objective; an empty assignment if the run was stopped before.
ItemAnswer solve_chain_dp(const PlacementProblem& items, SolverRun& run);

// Work that takes about a second on one core.
inline constexpr double k_chain_dp_second = 5e8;

}  // namespace moesim
