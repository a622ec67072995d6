// Parts of a layer's routed experts that share one routing decision: halves of a rank's experts,
// and rows by where they come from. Pairs, experts and bytes of the parts add up to the whole.
#pragma once

#include "models/operators/operators.h"
#include "sim/engine/exchange/all_to_all.h"
#include "sim/engine/exchange/collective_cost.h"
#include "sim/engine/schedule/schedule.h"

namespace moesim {

// The bytes that move: not the latency, nor the count of copies.
void scale(CollectiveCost& cost, double share);

// Half of a unit's experts (0: the larger) with as many of its rows. Which expert has how many is
// not known here, so that they count as alike; the busiest one is in the first half.
ExpertShard half_of(const ExpertShard& whole, std::int32_t half);
// The same share of what the experts send back, of units that hold so many each. One kernel sends
// both: its latency is paid with the first.
CollectiveCost half_of(const CollectiveCost& whole, std::int64_t local_experts, std::int32_t half);

// The rows of a unit that come from itself, its node, or other nodes. An expert with n rows has
// some from there with probability 1 - (1 - share)^n, n being the mean.
ExpertShard source_of(const ExpertShard& whole, const LayerTraffic& traffic, int unit,
                      SourcePart part);
// The copies that travel within nodes or between them, as an all-to-all of their own. `out` reuses
// memory.
void traffic_of_source(const LayerTraffic& whole, SourcePart part, LayerTraffic& out);

}  // namespace moesim
