// The kernels that one rank runs for each phase of a layer, as engines of 2025 fuse them. Pure
// functions of model, batch and precision; communication is not here.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/network/moe_model.h"
#include "models/network/moe_model_size.h"
#include "models/operators/op.h"
#include "sim/core/dtype.h"

namespace moesim {

// Equal sequences of one rank. A mixed step is a list of two such batches.
struct AttentionBatch {
  Phase phase = Phase::decode;
  std::int64_t sequences = 0;
  std::int64_t query_len = 1;  // new tokens per sequence
  std::int64_t context = 0;    // keys per sequence, the new tokens included
  std::int64_t source = 0;     // tokens per sequence of the encoder's output, if there is one
};

std::int64_t tokens_of(std::span<const AttentionBatch> batches);

// Tokens whose logits are wanted: all of a decode batch, the last of every prefill sequence.
std::int64_t logit_rows_of(std::span<const AttentionBatch> batches);

// Formats of products and stored values. Names in a scenario: see README.md.
struct OpPrecision {
  DType attention_gemm = DType::bf16;  // projections, absorbed MLA products included
  DType ffn_gemm = DType::bf16;        // dense and shared FFN
  DType expert_gemm = DType::bf16;     // routed experts
  DType attention = DType::bf16;       // attention itself
  DType kv = DType::bf16;              // stored keys and values
  DType activation = DType::bf16;      // residual stream and everything between kernels
  DType router = DType::bf16;
  DType head = DType::bf16;
  // Activations are quantised by kernels of their own before every narrow dense product. False:
  // inside the product's kernel, as the measured families have it (README.md).
  bool separate_quantisation = false;
  Quantisation weights;
};

// "bf16", "fp8_block", "fp8", "w8a8", "int4" (weights only), "fp4" (FFN only).
std::span<const std::string_view> precision_presets();
OpPrecision precision_preset(std::string_view name, const std::string& where);

// A preset's name, or {"preset": name, ...} with single fields changed.
OpPrecision parse_precision(const nlohmann::json& value, const std::string& where,
                            nlohmann::json* effective = nullptr);

// From the block's attention norm to its FFN norm; on one of `tp` ranks. An encoder block takes
// prefill batches (context = query_len). Requires what check_tensor_parallel checks.
std::vector<Op> attention_ops(const MoeModel& model, const Block& block,
                              std::span<const AttentionBatch> batches, const OpPrecision& precision,
                              std::int64_t tp = 1);
std::vector<Op> attention_ops(const MoeModel& model, const Block& block,
                              const AttentionBatch& batch, const OpPrecision& precision,
                              std::int64_t tp = 1);

// gate+up, activation, down of a dense entry.
std::vector<Op> dense_ffn_ops(const MoeModel& model, const FfnGroup& group, std::int64_t tokens,
                              const OpPrecision& precision, std::int64_t tp = 1);

// All shared experts of a MoE entry as one FFN, and the addition to the routed output.
std::vector<Op> shared_expert_ops(const MoeModel& model, const FfnGroup& group, std::int64_t tokens,
                                  const OpPrecision& precision, std::int64_t tp = 1);

// Logits and selection of one round.
std::vector<Op> router_ops(const MoeModel& model, const FfnGroup& group, std::int64_t tokens,
                           const OpPrecision& precision);

// What experts that cost nothing still cost: adding the token itself to its output, where it
// rests. Empty without copy or const experts.
std::vector<Op> free_expert_ops(const MoeModel& model, const FfnGroup& group, std::int64_t tokens,
                                const OpPrecision& precision);

// Shared projections into and out of the experts' latent space; empty unless latent_dim > 0.
std::vector<Op> latent_in_ops(const MoeModel& model, const FfnGroup& group, std::int64_t tokens,
                              const OpPrecision& precision);
std::vector<Op> latent_out_ops(const MoeModel& model, const FfnGroup& group, std::int64_t tokens,
                               const OpPrecision& precision);

// What the engine knows of the routed experts of one rank, layer and round.
struct ExpertShard {
  std::int64_t entering_tokens = 0;
  std::int64_t local_experts = 0;  // slots, replicas included
  std::int64_t etp = 1;            // expert tensor parallelism
  ExpertLoad load;
  ExpertLayout layout = ExpertLayout::fused;
};
Op routed_expert_op(const MoeModel& model, const FfnGroup& group, const ExpertShard& shard,
                    const OpPrecision& precision);

// What engines run around the two products of routed experts, over `activation` values: rows into
// the experts' order and back (not of masked rows, which arrive and leave in place), the activation
// and its quantisation. For laws that time the products alone; all others hold them.
std::vector<Op> expert_passes(const MoeOp& experts, DType activation);

std::vector<Op> embedding_ops(const MoeModel& model, std::int64_t tokens,
                              const OpPrecision& precision);

// Final norm, output projection (vocabulary cut by tp) and sampling for `rows` tokens.
std::vector<Op> head_ops(const MoeModel& model, std::int64_t rows, const OpPrecision& precision,
                         std::int64_t tp = 1);

}  // namespace moesim
