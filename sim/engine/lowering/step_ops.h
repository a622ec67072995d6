// The kernels of a node that a rank runs on its own batch.
#pragma once

#include <span>
#include <vector>

#include "models/operators/operators.h"
#include "sim/engine/lowered_step.h"
#include "sim/engine/lowering/lowering.h"
#include "sim/engine/schedule/work.h"

namespace moesim {

Category category_of(WorkKind kind);

// Everything but routed experts and collectives; `batches` has so many tokens, at least one. With
// `attention_split`, attention ends before its kernel and the core begins with it. Throws
// InvariantError for nodes that a forward step does not have.
std::vector<Op> step_ops(const LoweringInput& input, const WorkNode& node, std::int64_t tokens,
                         std::span<const AttentionBatch> batches, bool attention_split);

}  // namespace moesim
