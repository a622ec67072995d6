// Placements by a fixed rule: the home device of every expert, then replicas for the experts that
// are expected to be hottest.
#pragma once

#include <span>
#include <vector>

#include "placement/solver.h"

namespace moesim {

// [expert] -> device it should live on.
std::vector<int> contiguous_homes(const PlacementProblem& problem);   // e * devices / experts
std::vector<int> round_robin_homes(const PlacementProblem& problem);  // e mod devices

// Homes (on the next device with a free slot where the rule's has none), then the replicas of
// water_filling_counts: heaviest first, each on the least loaded device that has a free slot and
// does not hold the expert yet. Forbidden devices are left, and twins parted, by exchanges.
ExpertPlacement place_at_homes(const PlacementProblem& problem, std::span<const int> homes);

SolverAnswer solve_contiguous(const PlacementProblem& problem, SolverRun& run);
SolverAnswer solve_round_robin(const PlacementProblem& problem, SolverRun& run);

}  // namespace moesim
