// FFN, router, experts, embedding and head of one rank, kernel by kernel.
#include "models/operators/operators.h"

#include <algorithm>

#include "models/operators/operators_internal.h"
#include "sim/core/error.h"

namespace moesim {

namespace detail {

void append_quantisation(std::vector<Op>& ops, std::string_view label, std::int64_t rows,
                         std::int64_t width, DType gemm, const OpPrecision& precision) {
  if (!precision.separate_quantisation || stored_bits(gemm) >= 16) {
    return;
  }
  const std::int64_t block = gemm == DType::fp8_block ? 128 : width;
  const double scales = real(rows) * real((width + block - 1) / block);
  const double values = real(rows) * real(width);
  // stored_bits of block formats includes their weights' scales; rows have their own.
  const DType narrow = peak_class(gemm);
  ops.push_back({label, MemoryOp{size(values, precision.activation),
                                 size(values, narrow) + size(scales, DType::fp32)}});
}

}  // namespace detail

namespace {

using detail::memory_op;
using detail::real;
using detail::size;

// A feed-forward network as one rank sees it.
struct FfnShape {
  std::int64_t inter = 0;
  int matrices = 3;
  double weight_bits = 0.0;
  DType storage = DType::bf16;
};

struct FfnLabels {
  std::string_view up, activation, down;
};

void append_ffn(std::vector<Op>& ops, const MoeModel& model, const FfnShape& shape,
                std::int64_t tokens, const OpPrecision& precision, const FfnLabels& labels) {
  const std::int64_t wide = (shape.matrices - 1) * shape.inter;
  const GemmOp common{.m = tokens,
                      .dtype = precision.ffn_gemm,
                      .weight_storage = shape.storage,
                      .weight_bits = detail::kernel_bits(shape.weight_bits, shape.storage)};
  GemmOp up = common;
  up.n = wide;
  up.k = model.hidden;
  GemmOp down = common;
  down.n = model.hidden;
  down.k = shape.inter;
  detail::append_quantisation(ops, "quantise", up.m, up.k, up.dtype, precision);
  ops.push_back({labels.up, up});
  ops.push_back(memory_op(labels.activation, real(tokens) * real(wide),
                          real(tokens) * real(shape.inter), precision.activation));
  detail::append_quantisation(ops, "quantise", down.m, down.k, down.dtype, precision);
  ops.push_back({labels.down, down});
}

}  // namespace

std::int64_t tokens_of(std::span<const AttentionBatch> batches) {
  std::int64_t tokens = 0;
  for (const AttentionBatch& batch : batches) {
    tokens += batch.sequences * batch.query_len;
  }
  return tokens;
}

std::int64_t logit_rows_of(std::span<const AttentionBatch> batches) {
  std::int64_t rows = 0;
  for (const AttentionBatch& batch : batches) {
    rows += batch.sequences * (batch.phase == Phase::decode ? batch.query_len : 1);
  }
  return rows;
}

std::vector<Op> dense_ffn_ops(const MoeModel& model, const FfnGroup& group, std::int64_t tokens,
                              const OpPrecision& precision, std::int64_t tp) {
  ensure(group.kind == FfnKind::dense, "dense_ffn_ops is for dense entries");
  std::vector<Op> ops;
  if (tokens > 0) {
    append_ffn(ops, model,
               {.inter = group.inter / tp,
                .matrices = group.matrices,
                .weight_bits = group.weight_bits,
                .storage = precision.weights.dense_ffn},
               tokens, precision, {"gate_up", "activation", "down"});
  }
  return ops;
}

std::vector<Op> shared_expert_ops(const MoeModel& model, const FfnGroup& group, std::int64_t tokens,
                                  const OpPrecision& precision, std::int64_t tp) {
  std::vector<Op> ops;
  if (tokens == 0) {
    return ops;
  }
  for (const SharedExperts& shared : group.shared) {
    append_ffn(ops, model,
               {.inter = shared.count * shared.inter / tp,
                .matrices = shared.matrices,
                .weight_bits = shared.weight_bits,
                .storage = precision.weights.shared_expert},
               tokens, precision, {"shared_gate_up", "shared_activation", "shared_down"});
    const double values = real(tokens) * real(model.hidden);
    ops.push_back(
        memory_op("shared_add", (shared.gated ? 3 : 2) * values, values, precision.activation));
  }
  return ops;
}

std::vector<Op> router_ops(const MoeModel& model, const FfnGroup& group, std::int64_t tokens,
                           const OpPrecision& precision) {
  std::vector<Op> ops;
  const Router& router = group.router;
  if (tokens == 0 || !router.linear) {
    return ops;
  }
  const std::int64_t experts = group.selectable_experts();
  GemmOp gate{.m = tokens,
              .n = experts,
              .k = model.hidden,
              .dtype = precision.router,
              .weight_storage = precision.weights.router};
  ops.push_back({"router", gate});
  if (router.residual) {
    gate.k = experts;
    ops.push_back({"router_residual", gate});
  }
  // fp32 logits are read once; with groups the scores are read a second time, masked by the groups
  // that a first pass ranked. Out: an id and a weight of 4 bytes each per choice.
  const bool limited = router.groups > 1;
  const double logits = real(tokens) * real(experts);
  const double group_scores = limited ? real(tokens) * real(router.groups) : 0;
  const double chosen = 2 * real(tokens) * real(router.top_k);
  ops.push_back(memory_op("top_k", (limited ? 2 : 1) * logits + group_scores, chosen + group_scores,
                          DType::fp32));
  return ops;
}

std::vector<Op> free_expert_ops(const MoeModel& model, const FfnGroup& group, std::int64_t tokens,
                                const OpPrecision& precision) {
  const bool adds = std::ranges::any_of(group.experts, [](const ExpertSet& set) {
    return set.kind == ExpertKind::copy || set.kind == ExpertKind::constant;
  });
  std::vector<Op> ops;
  if (adds && tokens > 0) {
    const double values = real(tokens) * real(model.hidden);
    ops.push_back(memory_op("free_experts", 2 * values, values, precision.activation));
  }
  return ops;
}

namespace {

std::vector<Op> latent_ops(std::string_view label, const FfnGroup& group, std::int64_t tokens,
                           const OpPrecision& precision, std::int64_t n, std::int64_t k) {
  std::vector<Op> ops;
  if (group.latent_dim > 0 && tokens > 0) {
    detail::append_quantisation(ops, "quantise", tokens, k, precision.ffn_gemm, precision);
    ops.push_back({label, GemmOp{.m = tokens,
                                 .n = n,
                                 .k = k,
                                 .dtype = precision.ffn_gemm,
                                 .weight_storage = precision.weights.shared_expert}});
  }
  return ops;
}

}  // namespace

std::vector<Op> latent_in_ops(const MoeModel& model, const FfnGroup& group, std::int64_t tokens,
                              const OpPrecision& precision) {
  return latent_ops("latent_in", group, tokens, precision, group.latent_dim, model.hidden);
}

std::vector<Op> latent_out_ops(const MoeModel& model, const FfnGroup& group, std::int64_t tokens,
                               const OpPrecision& precision) {
  return latent_ops("latent_out", group, tokens, precision, model.hidden, group.latent_dim);
}

Op routed_expert_op(const MoeModel& model, const FfnGroup& group, const ExpertShard& shard,
                    const OpPrecision& precision) {
  const ExpertSet& expert = group.expert();
  ensure(shard.etp >= 1 && expert.inter % shard.etp == 0,
         "expert tensor parallelism divides the experts' width");
  return {"experts", MoeOp{.entering_tokens = shard.entering_tokens,
                           .top_k = group.router.top_k,
                           .hidden = group.latent_dim > 0 ? group.latent_dim : model.hidden,
                           .inter = expert.inter / shard.etp,
                           .local_experts = shard.local_experts,
                           .total_experts = group.ffn_experts(),
                           .matrices = expert.matrices,
                           .load = shard.load,
                           .dtype = precision.expert_gemm,
                           .weight_storage = precision.weights.routed_expert,
                           .weight_bits = detail::kernel_bits(expert.weight_bits,
                                                              precision.weights.routed_expert),
                           .layout = shard.layout}};
}

std::vector<Op> expert_passes(const MoeOp& experts, DType activation) {
  const double pairs = real(experts.load.pairs);
  const double hidden = real(experts.hidden);
  const double inter = real(experts.inter);
  const double rows = real(experts.entering_tokens) * hidden;
  // Narrow products take rows with a scale per 128 values.
  const bool narrow = stored_bits(experts.dtype) < 16;
  const auto operands = [&experts, narrow](double values) {
    return size(values, peak_class(experts.dtype)) +
           (narrow ? size(values / 128, DType::fp32) : Bytes());
  };
  std::vector<Op> ops;
  if (experts.load.pairs == 0) {
    return ops;
  }
  const bool moves = experts.layout != ExpertLayout::masked;
  if (moves) {
    ops.push_back({"experts_scatter", MemoryOp{operands(rows), operands(pairs * hidden)}});
  }
  ops.push_back(
      {"experts_activation", MemoryOp{size((experts.matrices - 1) * pairs * inter, activation),
                                      operands(pairs * inter)}});
  if (moves) {
    ops.push_back(memory_op("experts_gather", pairs * hidden, rows, activation));
  }
  return ops;
}

std::vector<Op> embedding_ops(const MoeModel& model, std::int64_t tokens,
                              const OpPrecision& precision) {
  std::vector<Op> ops;
  if (tokens > 0) {
    const double values = real(tokens) * real(model.hidden);
    ops.push_back({"embedding", MemoryOp{size(values, precision.weights.embedding),
                                         size(values, precision.activation)}});
  }
  return ops;
}

std::vector<Op> head_ops(const MoeModel& model, std::int64_t rows, const OpPrecision& precision,
                         std::int64_t tp) {
  std::vector<Op> ops;
  if (rows == 0) {
    return ops;
  }
  const std::int64_t words = (model.vocabulary + tp - 1) / tp;
  const Quantisation& weights = precision.weights;
  // Prediction modules share the head; each has a norm of its own before it.
  for (std::int64_t module = 0; module <= model.mtp_layers; ++module) {
    ops.push_back(detail::add_norm_op("final_norm", rows, model.hidden, precision.activation));
    ops.push_back({"lm_head", GemmOp{.m = rows,
                                     .n = words,
                                     .k = model.hidden,
                                     .dtype = precision.head,
                                     .weight_storage = model.tied_embeddings ? weights.embedding
                                                                             : weights.head}});
    // Softmax and choice read the fp32 logits; one id per row comes out.
    ops.push_back(memory_op("sampling", real(rows) * real(words), real(rows), DType::fp32));
  }
  return ops;
}

}  // namespace moesim
