// Weights, gradients and optimizer states of a rank: what is there whatever the batch.
#pragma once

#include "sim/training/stage_memory.h"

namespace moesim {

// Parameters on one rank; all ranks of a stage alike.
struct StageParameters {
  double dense = 0;         // shared by dp x cp ranks
  double experts = 0;       // shared by edp ranks
  double narrow = 0;        // of both: those of products in FP8 or narrower
  double largest_unit = 0;  // of a layer or the embedding: what FSDP gathers at a time
};
StageParameters stage_parameters(const StageMemoryInput& input,
                                 std::span<const std::int32_t> parts);

double padded_vocabulary(const StageMemoryInput& input);

// weights, gradients, optimizer and buffers of `memory`.
void add_states(StageMemory& memory, const StageParameters& parameters,
                const StageMemoryInput& input);

}  // namespace moesim
