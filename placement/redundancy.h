// Redundant experts: extra replicas for the experts that are expected to be hottest.
#pragma once

#include <span>
#include <vector>

#include "placement/placement.h"

namespace moesim {

// Slots per device so that experts + redundant slots spread as evenly as the homes allow: every
// device gets floor or ceil of the average, never fewer than its busiest layer's homes need.
std::vector<int> slots_per_device(const PlacementInput& input,
                                  const std::vector<std::vector<int>>& homes);

// The slots of one layer: homes first (in expert order on each device), then replicas. Each of the
// `redundant` replicas goes to the expert with the largest load per replica (the rule of DeepSeek's
// EPLB); replicas are then placed heaviest first on the least loaded device that has a free slot
// and does not hold the expert yet. Unfilled slots hold -1.
std::vector<std::int32_t> layer_slots(const PlacementInput& input, std::span<const int> home,
                                      std::span<const int> first_slot,
                                      std::span<const double> expected_load);

}  // namespace moesim
