// What one micro-batch leaves in memory between its forward and its backward pass, tensor by
// tensor.
#pragma once

#include <string_view>
#include <vector>

#include "models/network/moe_model.h"
#include "models/operators/operators.h"
#include "sim/core/units.h"
#include "sim/engine/rank_map.h"
#include "sim/training/stage_memory.h"
#include "sim/training/train_workload.h"

namespace moesim {

// A tensor that autograd keeps. The names are Megatron's; empty: no such module.
struct KeptTensor {
  Bytes bytes;
  std::string_view recompute;  // --recompute-modules that works it out again
  std::string_view offload;    // --offload-modules that moves it to the host
};

// Of one micro-batch on one rank.
struct MicroBatchShape {
  double tokens = 0;    // of a rank's part of the sequences: sequences x length / cp
  double resident = 0;  // tokens between attention and FFN: cut by tp with sequence parallelism
  double pairs = 0;     // token-expert pairs that a rank computes when experts are balanced
  double sequences = 0;
  double length = 0;  // tokens per sequence
  double tp = 1;
  double cp = 1;
  double etp = 1;
  double value = 2;         // bytes of an activation
  double attention_in = 2;  // of the input of attention's projections
  double ffn_in = 2;        // of a dense FFN's
  double expert_in = 2;     // of experts'
};
MicroBatchShape micro_batch_shape(const TrainWorkload& workload, const Parallelism& parallelism,
                                  const OpPrecision& precision, double top_k);

// Everything that a layer keeps if nothing is worked out again. README.md has the list.
std::vector<KeptTensor> kept_tensors(const MoeModel& model, const Block& block,
                                     const MicroBatchShape& shape, const MemoryHabits& habits);

struct LayerActivations {
  Bytes kept;       // from the forward to the backward pass
  Bytes transient;  // beside it while the layer's backward runs: what is worked out again or
                    // fetched, and gradients of its largest tensors
};
LayerActivations layer_activations(const MoeModel& model, const Block& block,
                                   const TrainWorkload& workload, const Parallelism& parallelism,
                                   const OpPrecision& precision, const MemoryHabits& habits);

}  // namespace moesim
