// What a training iteration keeps in a device's memory: static parts by formula, activations by
// what a micro-batch leaves behind on a chunk. Events of a run make the peak (MemoryLedger).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "models/network/moe_model.h"
#include "models/operators/operators.h"
#include "sim/core/units.h"
#include "sim/engine/rank_map.h"
#include "sim/training/pipeline.h"
#include "sim/training/train_workload.h"

namespace moesim {

// A run of layers; the parts of a model in order.
struct ModelPart {
  int first_layer = 0;
  int layers = 0;
  bool embedding = false;
  bool head = false;  // final norm, logits, loss, and prediction modules
};

// `layers`: of every part, summing up to the model's; empty: as even as may be, with the part of
// the head (and embedding) not longer than others. Throws ConfigError(where, ...).
std::vector<ModelPart> split_model(const MoeModel& model, int parts, std::span<const int> layers,
                                   const std::string& where);

// What kernels and framework do with memory beside the network's own tensors. The defaults are
// those of pretraining runs of 2025: fused attention, no dropout.
struct MemoryHabits {
  bool fused_attention = true;  // false: scores and probabilities are tensors
  bool attention_dropout = false;
  bool hidden_dropout = false;
  bool fused_activation = true;  // false: an activation and its product with the router's weight
                                 // are tensors of their own where experts have no gate
  int head_formats = 6;          // bytes per logit while the loss is worked out: bf16 and fp32
  // Workspaces of the GPU's libraries: cuBLAS under Transformer Engine takes 32 MiB (4 MiB before
  // Hopper), once and for each of four streams of grouped products (from memory of Transformer
  // Engine's module/base.py; differences between A100 and H100 runs below are 1 and 5 x 28 MiB).
  Bytes workspaces{5 * 32.0 * 1024 * 1024};
  // Left allocated between steps whatever the model: a round number by eye from what static memory
  // lacked in runs of Megatron-LM's functional tests (d98e8a64ddf3), some 35 to 110 MB, which are
  // the runs that validation judges.
  Bytes framework{80e6};
  // Prediction modules run one after another with one set of weights (--mtp-use-repeated-layer).
  bool one_mtp_module = false;
  // Megatron-LM's --make-vocab-size-divisible-by, times tp.
  std::int64_t vocabulary_multiple = 128;
};

// Bytes on one rank of a stage.
struct StageMemory {
  Bytes weights;    // as the passes read them
  Bytes gradients;  // accumulated
  Bytes optimizer;  // master weights and moments
  Bytes buffers;    // of communication, and what the framework keeps besides
  // Of one micro-batch, from its forward pass to its backward pass, by chunk.
  std::vector<Bytes> activations;
  // Beside the kept ones while a pass runs: of one layer's forward and backward, logits and loss.
  std::vector<Bytes> transient;  // by chunk

  [[nodiscard]] Bytes fixed() const { return weights + gradients + optimizer + buffers; }
};

struct StageMemoryInput {
  const MoeModel& model;
  const TrainWorkload& workload;
  const Parallelism& parallelism;
  const OpPrecision& precision;
  std::span<const ModelPart> parts;
  const PipelineSchedule& schedule;
  MemoryHabits habits = {};
};
// By stage. README.md has the formulae and their sources.
std::vector<StageMemory> stage_memory(const StageMemoryInput& input);

// The most that a stage holds while its passes run in the schedule's order: fixed parts,
// activations of micro-batches whose forward has run and whose last gradients have not, and the
// transient of the pass that runs. A pass beside another (PipelineAction::beside_next) has its
// transient at the same time.
Bytes peak_memory(const StageMemory& memory, std::span<const PipelineAction> order);

}  // namespace moesim
