// The home device of every expert before redundancy, one function per policy: [expert] -> device.
#pragma once

#include <vector>

#include "placement/placement.h"

namespace moesim {

std::vector<int> contiguous_devices(const PlacementInput& input, int layer);
std::vector<int> round_robin_devices(const PlacementInput& input, int layer);

}  // namespace moesim
