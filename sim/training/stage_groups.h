// Which ranks of a stage exchange with each other.
#pragma once

#include <vector>

#include "sim/engine/rank_map.h"

namespace moesim {

enum class RankGroup {
  tensor,        // attention's tensor-parallel ranks
  context,       // attention's context-parallel ranks
  data,          // ranks with the same weights of attention and everything dense: cp x dp
  experts,       // a lane: ranks that hold all experts, one slice of each
  expert_slice,  // ranks that slice the same experts
  expert_data,   // ranks with the same experts
};

// All groups of one kind, each ascending; together they hold every rank of the stage once. Numbers
// count the stage's ranks from 0, tensor index fastest, then context, then data (Megatron-LM's
// order tp-cp-ep-dp-pp; experts: slice, expert, data).
std::vector<std::vector<int>> groups_of(RankGroup group, const Parallelism& parallelism);

}  // namespace moesim
