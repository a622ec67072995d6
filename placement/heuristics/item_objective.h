// F of an assignment of items, from the definition: what integer programs are judged by. Items that
// are replicas count as experts of their own, as their problem says. Not for the dispatch model.
#pragma once

#include "placement/problem.h"
#include "placement/solver.h"

namespace moesim {

double item_objective(const PlacementProblem& problem, const Assignment& devices);

// The part of F that changes when only `layer` does: its busiest device and the traffic to both
// neighbours.
double layer_objective(const PlacementProblem& problem, const Assignment& devices, int layer);

// Are all numbers behind F whole, and small enough for exact arithmetic? Then F is whole too, and
// lower bounds may be rounded up.
bool has_whole_objective(const PlacementProblem& problem);

// Are all GPUs alike (slots, speed, no forbidden pairs)? Then nodes, and GPUs inside them, may be
// renamed freely.
bool has_alike_devices(const PlacementProblem& problem);

// balanced_start of every layer.
Assignment balanced_starts(const PlacementProblem& problem);

}  // namespace moesim
