// The default method and the heuristics it is made of, as solvers.
#pragma once

#include "placement/solver.h"

namespace moesim {

// Several starts, each improved by swap search, on the run's threads; the best one. Items.
ItemAnswer solve_heuristics(const PlacementProblem& items, SolverRun& run);

SolverAnswer solve_lpt(const PlacementProblem& problem, SolverRun& run);
SolverAnswer solve_relabel(const PlacementProblem& problem, SolverRun& run);
SolverAnswer solve_banded(const PlacementProblem& problem, SolverRun& run);
SolverAnswer solve_swap(const PlacementProblem& problem, SolverRun& run);
SolverAnswer solve_annealing(const PlacementProblem& problem, SolverRun& run);
SolverAnswer solve_dp(const PlacementProblem& problem, SolverRun& run);
std::string unfit_dp(const PlacementProblem& problem);

// Replicas of loads alone on equal devices, layer by layer (exact_replication.h).
SolverAnswer place_exact_replication(const PlacementProblem& problem, SolverRun& run);
std::string unfit_exact_replication(const PlacementProblem& problem);

// Exact where that takes a second or the time limit allows, else heuristics; never worse than the
// baselines.
SolverAnswer solve_auto(const PlacementProblem& problem, SolverRun& run);

}  // namespace moesim
