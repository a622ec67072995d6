// The tokens of a step's batch, drawn or replayed once for all layers.
#pragma once

#include <string>
#include <vector>

#include "sim/engine/exchange/step_traffic.h"
#include "sim/engine/rank_map.h"
#include "sim/engine/step_batch.h"
#include "workloads/sources/routing.h"

namespace moesim {

struct BatchParts {
  int count = 1;
  BatchCut cut = BatchCut::sequences;
};

// Parts of the whole batch: the tokens of part m are those of batch.split(count, cut)[m].
// A batch that is the same on all ranks (at most one decode and one class of whole prompts) is
// drawn as a BatchShape, any other request by request. Pure for any number of threads.
std::vector<std::vector<RoutedPart>> draw_batch(const RoutingSource& source, const StepBatch& batch,
                                                const RankMap& ranks, BatchParts parts,
                                                std::uint64_t seed, int threads);

// What a report should say of how the step's tokens were drawn.
std::vector<std::string> routing_warnings(const RoutingSource& source, const StepBatch& batch);

}  // namespace moesim
