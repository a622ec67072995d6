// The building blocks of heuristic placement. All work on items (replicas.h), respect capacities
// and, unless repair failed, forbidden devices and the replica rule; all are deterministic.
#pragma once

#include <cstdint>

#include "placement/heuristics/search_state.h"
#include "placement/solver.h"

namespace moesim {

// Longest processing time first: items by falling load to the device that then finishes first and
// has a free slot. Empty if repair could not find allowed devices for all items.
Assignment assign_lpt(const PlacementProblem& items);

// Which device holds which of the finished groups of a layer's items: linear assignments layer by
// layer, until nothing improves or `sweeps` passes are over. With one node one pass is exact for
// the given groups: relative labels of consecutive layers are free.
void relabel(SearchState& state, int sweeps, const SolverRun& run);

// Items by load in bands of one per device; every band goes to devices by a linear assignment that
// weighs traffic with the layers around it against load. Starts from nothing.
Assignment assign_banded(const PlacementProblem& items, int sweeps, const SolverRun& run);

// Exchanges of two items of a layer, first improvement, until a pass finds none: judged by traffic
// plus `kappa` times squared loads (kappa > 0: no plateaus), or by F itself (kappa = 0). Returns
// the number of exchanges.
std::int64_t swap_search(SearchState& state, double kappa, const SolverRun& run);

// Simulated annealing on F with a geometric schedule of `moves` proposals, from temperature
// `start` * F / (layers * items) down to 1/1000 of it. Returns the best assignment seen; `state`
// ends anywhere.
Assignment anneal(SearchState& state, std::int64_t moves, double start, std::uint64_t seed,
                  SolverRun& run);

// Moves items that break a rule to where they do not. Two replicas of one expert stay together
// where no exchange parts them. False if an item remains where it must not be.
bool repair(const PlacementProblem& items, Assignment& devices);

}  // namespace moesim
