// Items into bins at least cost: the transportation problem that is left of placing one layer when
// everything else is fixed.
#pragma once

#include <span>
#include <vector>

#include "placement/problem.h"

namespace moesim {

// costs[item * bins + bin], infinity: not there; bin b takes at most room[b] items. Returns
// [item] -> bin of least total cost (exact: successive shortest paths), or nothing when the items
// do not fit. Equal costs: lower bins first. O(items * bins * (items + bins^2)) at worst.
std::vector<int> transport(std::span<const double> costs, std::span<const int> room);

// A balanced start for one layer, [item] -> device: heaviest first to the device that would then be
// the least busy (slowness included), within slots and forbidden pairs, replicas of one expert
// apart where that is possible. Throws InvariantError where no assignment exists.
std::vector<int> balanced_start(const PlacementProblem& problem, int layer);

}  // namespace moesim
