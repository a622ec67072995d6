// What a pass over a part of the model has to do, in order: runs of kernels and the exchanges
// between them. Every rank of a stage does the same; how much of it, and where, is for
// iteration_expansion.h.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "models/network/moe_model.h"
#include "sim/training/pipeline.h"
#include "sim/training/stage_memory.h"
#include "sim/training/train_workload.h"

namespace moesim {

// Kernels of a layer that nothing interrupts.
enum class KernelPart : std::uint8_t {
  embedding,
  attention_norm,  // what runs on slices of the sequence before attention
  attention,       // from the projections of queries and keys to that of the output
  ffn_norm,        // what runs on slices of the sequence behind attention
  dense,
  router,  // with free experts and the way into a latent space
  shared,
  experts,
  latent_out,
  head,
};

enum class KernelPass : std::uint8_t { forward, again, input_grad, weight_grad };

// `again` may be a part's kernels in part: those of the modules that are worked out again.
struct KernelRun {
  KernelPart part = KernelPart::attention;
  KernelPass pass = KernelPass::forward;
  std::int32_t block = 0;  // index into MoeModel::blocks
  std::int32_t entry = 0;  // FFN entry
  std::int32_t decision =
      -1;                 // experts: routing decision of the model, where these differ; else -1
  bool selected = false;  // `again`: the kernels of the workload's modules alone

  friend auto operator<=>(const KernelRun&, const KernelRun&) = default;
};

enum class ExchangeKind : std::uint8_t {
  tensor_gather,   // slices of the sequence to whole rows, within a tensor-parallel group
  tensor_scatter,  // partial sums to slices
  tensor_sum,      // all-reduce, without sequence parallelism
  context,         // keys and values around the context-parallel group
  context_back,    // the same and their gradients
  dispatch,
  combine,
  expert_gather,   // rows of an expert to all that slice it
  expert_scatter,  // partial sums of its results
  weights,         // zero 3: a layer's weights, gathered for a pass
  gradients,       // of a layer's weights, reduced
  send,            // to the next stage
};

// One kernel run, or one exchange.
struct WorkPiece {
  bool is_exchange = false;
  KernelRun run{};
  ExchangeKind exchange = ExchangeKind::send;
  std::int32_t layer = -1;     // position in the model
  std::int32_t decision = -1;  // of dispatch and combine, where decisions differ
  // context: runs beside the kernels behind it instead of before them. weights: may begin as soon
  // as the layer before begins.
  bool ahead = false;
};

struct PartOptions {
  bool tensor_parallel = false;
  bool sequence_parallel = false;
  bool context_parallel = false;
  bool dispatches = false;  // experts lie on several ranks
  bool slices_experts = false;
  bool fetches_weights = false;  // zero 3
  bool decisions_differ = false;
};

// Of one pass over one part of the model. A weight_grad pass has no exchanges but those of zero 3.
std::vector<WorkPiece> part_work(const MoeModel& model, const ModelPart& part, Pass pass,
                                 const TrainWorkload& workload, const PartOptions& options);

}  // namespace moesim
