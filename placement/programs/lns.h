// Large-neighbourhood search: the experts of a few GPUs of one layer are placed anew by an integer
// program, everything else fixed. Traffic is then linear and load one maximum: small programs,
// solved to optimality in milliseconds. A last polish: swaps and annealing gain more per second far
// from the optimum, this gains where they are stuck.
#pragma once

#include <string>

#include "placement/problem.h"
#include "placement/solver.h"

namespace moesim {

// Solves `rounds` neighbourhoods (fewer when the run ends, or when none is left that could help).
// `devices` must be feasible; the answer is never worse by item_objective. Deterministic without a
// time limit. Not for the dispatch model.
Assignment polish_lns(const PlacementProblem& problem, Assignment devices, SolverRun& run,
                      int rounds);

// For the solver table: balanced layers, polished with four neighbourhoods per layer.
SolverAnswer place_lns(const PlacementProblem& problem, SolverRun& run);
std::string unfit_lns(const PlacementProblem& problem);

}  // namespace moesim
