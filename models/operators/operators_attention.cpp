// Attention of one layer, kernel by kernel.
#include <algorithm>

#include "models/operators/operators_internal.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using detail::memory_op;
using detail::real;
using detail::size;

// What all kernels of one call share.
struct Context {
  const OpPrecision& precision;
  std::int64_t hidden = 0;
  std::int64_t rows = 0;  // new tokens of all batches
  std::int64_t tp = 1;
  bool causal = true;
  bool cached = true;  // keys and values go into a cache (decoders)
};

// Weights of a block's attention are stored alike, whichever product they enter.
void append_projection(std::vector<Op>& ops, std::string_view label, const Context& c,
                       const Attention& a, const GemmOp& shape) {
  GemmOp gemm = shape;
  gemm.dtype = c.precision.attention_gemm;
  gemm.weight_storage = c.precision.weights.attention;
  gemm.weight_bits = a.weight_bits;
  if (gemm.m > 0) {
    if (gemm.batch == 1) {
      detail::append_quantisation(ops, "quantise", gemm.m, gemm.k, gemm.dtype, c.precision);
    }
    ops.push_back({label, gemm});
  }
}

std::int64_t local(std::int64_t heads, std::int64_t tp) {
  return std::max<std::int64_t>(1, heads / tp);
}

// Rotary embedding of q and k in place; k and v appended to the cache.
Op rope_append_op(const Context& c, double q_values, double k_values, double v_values) {
  const double rotated = q_values + k_values;
  const DType activation = c.precision.activation;
  const Bytes appended =
      c.cached ? size(k_values + v_values, c.precision.kv) : size(k_values, activation);
  return {"rope_append",
          MemoryOp{size(rotated + v_values, activation), size(q_values, activation) + appended}};
}

void append_softmax_core(std::vector<Op>& ops, const Context& c, const Attention& a,
                         std::span<const AttentionBatch> batches) {
  for (const AttentionBatch& batch : batches) {
    ops.push_back(
        {"attention", AttentionOp{.phase = batch.phase,
                                  .batch = batch.sequences,
                                  .query_len = batch.query_len,
                                  .context = batch.context,
                                  .heads = a.heads / c.tp,
                                  .kv_heads = local(a.kv_heads, c.tp),
                                  .head_dim = a.head_dim,
                                  .dtype = c.precision.attention,
                                  .kv_storage = c.cached ? c.precision.kv : c.precision.attention,
                                  .causal = c.causal}});
  }
}

void append_softmax_attention(std::vector<Op>& ops, const Context& c, const Attention& a,
                              std::span<const AttentionBatch> batches) {
  const std::int64_t q = a.heads / c.tp * a.head_dim;
  const std::int64_t kv = local(a.kv_heads, c.tp) * a.head_dim;
  append_projection(ops, "qkv_proj", c, a, {.m = c.rows, .n = q + 2 * kv, .k = c.hidden});
  if (a.qk_norm != QkNorm::none) {
    const double values = real(c.rows) * real(q + kv);
    ops.push_back(memory_op("qk_norm", values, values, c.precision.activation));
  }
  const double rows = real(c.rows);
  ops.push_back(rope_append_op(c, rows * real(q), rows * real(kv), rows * real(kv)));
  append_softmax_core(ops, c, a, batches);
  append_projection(ops, "o_proj", c, a, {.m = c.rows, .n = c.hidden, .k = q});
}

// Queries of the decoder on keys and values of the encoder's output, which are projected once,
// in the step that prefills the sequence.
void append_cross_attention(std::vector<Op>& ops, const Context& c, const Attention& a,
                            std::span<const AttentionBatch> batches) {
  const std::int64_t q = a.heads / c.tp * a.head_dim;
  const std::int64_t kv = local(a.kv_heads, c.tp) * a.head_dim;
  ops.push_back(detail::add_norm_op("cross_norm", c.rows, c.hidden, c.precision.activation));
  append_projection(ops, "cross_q_proj", c, a, {.m = c.rows, .n = q, .k = c.hidden});
  std::int64_t source_rows = 0;
  std::vector<AttentionBatch> over_source;
  for (const AttentionBatch& batch : batches) {
    source_rows += batch.phase == Phase::prefill ? batch.sequences * batch.source : 0;
    over_source.push_back(batch);
    over_source.back().context = batch.source;
  }
  if (source_rows > 0) {
    append_projection(ops, "cross_kv_proj", c, a, {.m = source_rows, .n = 2 * kv, .k = c.hidden});
    const double values = 2 * real(source_rows) * real(kv);
    ops.push_back({"cross_append",
                   MemoryOp{size(values, c.precision.activation), size(values, c.precision.kv)}});
  }
  Context cross = c;
  cross.causal = false;
  append_softmax_core(ops, cross, a, over_source);
  append_projection(ops, "cross_o_proj", c, a, {.m = c.rows, .n = c.hidden, .k = q});
}

// Queries: compressed, normed and expanded, or straight from the stream. The compressions of
// queries and keys are one product when both exist; they are not cut by tensor parallelism.
void append_latent_projections(std::vector<Op>& ops, const Context& c, const Attention& a) {
  const std::int64_t q = a.heads / c.tp * (a.nope_dim + a.rope_dim);
  const std::int64_t latent = a.kv_rank + a.rope_dim;
  append_projection(ops, a.q_rank > 0 ? "qkv_a_proj" : "kv_a_proj", c, a,
                    {.m = c.rows, .n = a.q_rank + latent, .k = c.hidden});
  const double normed = real(c.rows) * real(a.q_rank + a.kv_rank);
  ops.push_back(memory_op("latent_norm", normed, normed, c.precision.activation));
  if (a.q_rank > 0) {
    append_projection(ops, "q_b_proj", c, a, {.m = c.rows, .n = q, .k = a.q_rank});
  } else {
    append_projection(ops, "q_proj", c, a, {.m = c.rows, .n = q, .k = c.hidden});
  }
}

MlaOp mla_shape(const Context& c, const Attention& a, const AttentionBatch& batch) {
  return {.phase = batch.phase,
          .batch = batch.sequences,
          .query_len = batch.query_len,
          .context = batch.context,
          .heads = a.heads / c.tp,
          .latent_dim = a.kv_rank,
          .rope_dim = a.rope_dim,
          .nope_dim = a.nope_dim,
          .value_dim = a.value_dim,
          .dtype = c.precision.attention,
          .kv_storage = c.precision.kv};
}

// Decode: q_nope W_uk is compared with the latent itself, and the attended latent expanded by
// W_uv afterwards (DeepSeek-V2, section 2.1.2: "absorbed"). Prefill: keys and values of the whole
// context are expanded from the latents.
void append_latent_core(std::vector<Op>& ops, const Context& c, const Attention& a,
                        const AttentionBatch& batch) {
  const std::int64_t heads = a.heads / c.tp;
  const std::int64_t rows = batch.sequences * batch.query_len;
  if (batch.phase == Phase::decode) {
    append_projection(ops, "k_up", c, a,
                      {.m = rows, .n = a.kv_rank, .k = a.nope_dim, .batch = heads});
    ops.push_back({"mla", mla_shape(c, a, batch)});
    append_projection(ops, "v_up", c, a,
                      {.m = rows, .n = a.value_dim, .k = a.kv_rank, .batch = heads});
    return;
  }
  const std::int64_t keys = batch.sequences * batch.context;
  append_projection(ops, "kv_b_proj", c, a,
                    {.m = keys, .n = heads * (a.nope_dim + a.value_dim), .k = a.kv_rank});
  // Expanded keys get the rotary part that all heads share.
  const double nope = real(keys) * real(heads) * real(a.nope_dim);
  const double rope = real(keys) * real(a.rope_dim);
  ops.push_back(
      memory_op("k_concat", nope + rope, nope + real(heads) * rope, c.precision.activation));
  ops.push_back({"mla", mla_shape(c, a, batch)});
}

void append_latent_attention(std::vector<Op>& ops, const Context& c, const Attention& a,
                             std::span<const AttentionBatch> batches) {
  append_latent_projections(ops, c, a);
  const std::int64_t heads = a.heads / c.tp;
  const double rows = real(c.rows);
  ops.push_back(rope_append_op(c, rows * real(heads) * real(a.rope_dim), rows * real(a.rope_dim),
                               rows * real(a.kv_rank)));
  for (const AttentionBatch& batch : batches) {
    append_latent_core(ops, c, a, batch);
  }
  append_projection(ops, "o_proj", c, a, {.m = c.rows, .n = c.hidden, .k = heads * a.value_dim});
}

// Decode reads and writes the state (fp32) of every sequence. Prefill in chunks of C tokens
// (Yang et al. 2406.06484): per chunk and head q k^T and its product with v (C x C),
// the chunk's own update k^T v and the product q S with the state.
void append_linear_core(std::vector<Op>& ops, const Context& c, const Attention& a,
                        const AttentionBatch& batch) {
  const std::int64_t heads = a.heads / c.tp;
  const double state = real(batch.sequences) * real(heads) * real(a.head_dim) * real(a.value_dim);
  if (batch.phase == Phase::decode) {
    const double touched = state * real(batch.query_len);
    ops.push_back(memory_op("state_update", touched, touched, DType::fp32));
    return;
  }
  constexpr std::int64_t longest_chunk = 64;
  const std::int64_t chunk = std::max<std::int64_t>(1, std::min(longest_chunk, batch.query_len));
  const std::int64_t products = batch.sequences * heads * ((batch.query_len + chunk - 1) / chunk);
  const DType dtype = c.precision.attention;
  const auto product = [&](std::string_view label, std::int64_t m, std::int64_t n, std::int64_t k) {
    ops.push_back(
        {label,
         GemmOp{
             .m = m, .n = n, .k = k, .batch = products, .dtype = dtype, .weight_storage = dtype}});
  };
  product("chunk_scores", chunk, chunk, a.head_dim);
  product("chunk_values", chunk, a.value_dim, chunk);
  product("chunk_state", a.head_dim, a.value_dim, chunk);
  product("chunk_carry", chunk, a.value_dim, a.head_dim);
}

void append_linear_attention(std::vector<Op>& ops, const Context& c, const Attention& a,
                             std::span<const AttentionBatch> batches) {
  const std::int64_t heads = a.heads / c.tp;
  const std::int64_t values = heads * a.value_dim;
  const std::int64_t mixed = 2 * local(a.kv_heads, c.tp) * a.head_dim + values;
  append_projection(
      ops, "in_proj", c, a,
      {.m = c.rows, .n = mixed + (a.output_gate ? values : 0) + 2 * heads, .k = c.hidden});
  if (a.conv_width > 0) {
    const double rows = real(c.rows) * real(mixed);
    ops.push_back(memory_op("conv", rows, rows, c.precision.activation));
  }
  for (const AttentionBatch& batch : batches) {
    append_linear_core(ops, c, a, batch);
  }
  const double out = real(c.rows) * real(values);
  ops.push_back(
      memory_op("gated_norm", (a.output_gate ? 2 : 1) * out, out, c.precision.activation));
  append_projection(ops, "o_proj", c, a, {.m = c.rows, .n = c.hidden, .k = values});
}

void check_batches(const Block& block, std::span<const AttentionBatch> batches) {
  for (const AttentionBatch& batch : batches) {
    ensure(batch.sequences >= 0 && batch.query_len >= 1 && batch.context >= batch.query_len,
           "a sequence's context includes its new tokens");
    ensure(block.stack == Stack::decoder || batch.phase == Phase::prefill,
           "an encoder has no decode phase");
    ensure(!block.cross_attention || batch.source >= 1, "cross attention needs a source");
  }
}

}  // namespace

std::vector<Op> attention_ops(const MoeModel& model, const Block& block,
                              std::span<const AttentionBatch> batches, const OpPrecision& precision,
                              std::int64_t tp) {
  check_batches(block, batches);
  const Attention& a = block.attention;
  ensure(tp >= 1 && a.heads % tp == 0, "tensor parallelism divides the attention heads");
  const bool decoder = block.stack == Stack::decoder;
  const Context c{.precision = precision,
                  .hidden = model.hidden,
                  .rows = tokens_of(batches),
                  .tp = tp,
                  .causal = decoder,
                  .cached = decoder};
  std::vector<Op> ops;
  if (c.rows == 0) {
    return ops;
  }
  ops.push_back(detail::add_norm_op("input_norm", c.rows, c.hidden, precision.activation));
  switch (a.kind) {
    case AttentionKind::mha:
    case AttentionKind::gqa:
      append_softmax_attention(ops, c, a, batches);
      break;
    case AttentionKind::mla:
      append_latent_attention(ops, c, a, batches);
      break;
    case AttentionKind::linear:
      append_linear_attention(ops, c, a, batches);
      break;
  }
  if (block.cross_attention) {
    append_cross_attention(ops, c, *block.cross_attention, batches);
  }
  ops.push_back(detail::add_norm_op("ffn_norm", c.rows, c.hidden, precision.activation));
  return ops;
}

std::vector<Op> attention_ops(const MoeModel& model, const Block& block,
                              const AttentionBatch& batch, const OpPrecision& precision,
                              std::int64_t tp) {
  return attention_ops(model, block, std::span(&batch, 1), precision, tp);
}

}  // namespace moesim
