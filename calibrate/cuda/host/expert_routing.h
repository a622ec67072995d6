// Which tokens the experts of the timed rank get: the loads of calibrate/load_generator as
// choices of tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "calibrate/cuda/host/compute_grids.h"

namespace moesim::bench {

struct RankRouting {
  std::vector<std::int64_t> counts;   // pairs of each expert of the rank
  std::vector<std::int32_t> choices;  // [tokens][top_k]: expert within the rank, -1: another rank's
  std::int64_t pairs = 0;             // sum of counts
};

// The first rank under balanced loads, else the most loaded rank of that draw (of 8) whose load is
// the median. Pure in its arguments. A token chooses an expert at most once.
RankRouting route_to_busiest_rank(const MoeCase& moe, std::uint64_t seed);

// The same loads on other weights, so that repeated launches do not find theirs in a cache: of
// `slots` >= the rank's experts, the i-th expert that has tokens takes slot (set * touched + i) %
// slots. Counts and choices are by slot.
RankRouting moved_to_slots(const RankRouting& routing, std::int64_t slots, int set);

// Experts with at least one token.
std::int64_t touched_experts(const RankRouting& routing);

}  // namespace moesim::bench
