// Linear assignment: the cheapest perfect matching of n rows to n columns.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace moesim {

// cost[row * n + column], finite. Returns the column of every row. O(n^3), shortest augmenting
// paths with potentials (Jonker and Volgenant 1987).
std::vector<int> cheapest_assignment(std::span<const double> cost, std::size_t n);

}  // namespace moesim
