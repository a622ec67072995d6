// Attention of one layer, kernel by kernel.
#include <algorithm>

#include "models/operators/operators_internal.h"
#include "sim/core/error.h"

namespace moesim {

namespace detail {

void append_projection(std::vector<Op>& ops, std::string_view label, const Context& c,
                       const Attention& a, const GemmOp& shape) {
  GemmOp gemm = shape;
  gemm.dtype = c.precision.attention_gemm;
  gemm.weight_storage = c.precision.weights.attention;
  gemm.weight_bits = kernel_bits(a.weight_bits, gemm.weight_storage);
  if (gemm.m > 0) {
    if (gemm.batch == 1) {
      append_quantisation(ops, "quantise", gemm.m, gemm.k, gemm.dtype, c.precision);
    }
    ops.push_back({label, gemm});
  }
}

}  // namespace detail

namespace {

using detail::append_projection;
using detail::Context;
using detail::local;
using detail::memory_op;
using detail::real;
using detail::size;

// Rotary embedding of q and k in place; k and v appended to the cache.
Op rope_append_op(const Context& c, double q_values, double k_values, double v_values) {
  const double rotated = q_values + k_values;
  const DType activation = c.precision.activation;
  const Bytes appended =
      c.cached ? size(k_values + v_values, c.precision.kv) : size(k_values, activation);
  return {"rope_append",
          MemoryOp{size(rotated + v_values, activation), size(q_values, activation) + appended}};
}

// With values of another width than the keys', attention has no measured law.
Op uneven_softmax(const Context& c, const Attention& a, const AttentionBatch& batch) {
  const double sequences = real(batch.sequences);
  const double heads = real(a.heads / c.tp);
  const double widths = real(a.head_dim + a.value_dim);
  const double queries = real(batch.query_len);
  const double most = a.window > 0 && c.causal ? real(a.window) : real(batch.context);
  const double pairs = c.causal ? entries_seen(batch.query_len, batch.context, 1, most)
                                : queries * real(batch.context);
  const double keys = std::min(real(batch.context), queries - 1 + most);
  const double kv_heads = real(local(a.kv_heads, c.tp));
  RooflineOp op;
  op.kernel = CountedKernel::uneven_attention;
  op.phase = batch.phase;
  op.sequences = batch.sequences;
  op.query_len = batch.query_len;
  op.context = batch.context;
  op.heads = a.heads / c.tp;
  op.flops = Flops(2 * sequences * heads * pairs * widths);
  op.bytes = size(sequences * keys * kv_heads * widths, c.precision.kv) +
             size(sequences * queries * heads * widths, c.precision.activation);
  op.dtype = c.precision.attention;
  op.storage = c.precision.kv;
  return {"attention", op};
}

// A query sees the keys of its own chunk up to itself, so that the part of a prompt in one chunk is
// a sequence of its own (as vLLM's make_local_attention_virtual_batches cuts them,
// vllm/v1/attention/backends/utils.py, 2025). Decoding sequences stand somewhere in their chunks:
// the full chunk is what one may have to read.
std::vector<AttentionBatch> by_chunk(const AttentionBatch& batch, std::int64_t chunk) {
  AttentionBatch part = batch;
  if (batch.phase == Phase::decode || batch.context <= chunk) {
    part.context = std::min(batch.context, std::max(chunk, batch.query_len));
    return {part};
  }
  std::vector<AttentionBatch> parts;
  const auto add = [&](std::int64_t count, std::int64_t queries, std::int64_t context) {
    if (count > 0 && queries > 0) {
      part.sequences = batch.sequences * count;
      part.query_len = queries;
      part.context = context;
      parts.push_back(part);
    }
  };
  const std::int64_t past = batch.context - batch.query_len;
  const std::int64_t to_end = std::min(batch.query_len, chunk - past % chunk);
  const std::int64_t rest = batch.query_len - to_end;
  add(1, to_end, past % chunk + to_end);
  add(rest / chunk, chunk, chunk);
  add(1, rest % chunk, rest % chunk);
  return parts;
}

void append_softmax_core(std::vector<Op>& ops, const Context& c, const Attention& a,
                         std::span<const AttentionBatch> batches) {
  for (const AttentionBatch& whole : batches) {
    const auto parts = a.chunk > 0 ? by_chunk(whole, a.chunk) : std::vector<AttentionBatch>{whole};
    for (const AttentionBatch& batch : parts) {
      if (a.value_dim != a.head_dim) {
        ops.push_back(uneven_softmax(c, a, batch));
        continue;
      }
      const bool limited = c.causal && a.window > 0 && batch.context > a.window;
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
                                    .causal = c.causal,
                                    .window = limited ? a.window : 0}});
    }
  }
}

void append_softmax_attention(std::vector<Op>& ops, const Context& c, const Attention& a,
                              std::span<const AttentionBatch> batches) {
  const std::int64_t heads = a.heads / c.tp;
  const std::int64_t q = heads * a.head_dim;
  const std::int64_t out = heads * a.value_dim;
  const std::int64_t kv_heads = a.reuses_kv ? 0 : local(a.kv_heads, c.tp);
  const std::int64_t k = kv_heads * a.head_dim;
  const std::int64_t v = kv_heads * a.value_dim;
  const std::int64_t gate = (a.output_gate ? out : 0) + (a.head_gate ? heads : 0);
  append_projection(ops, "qkv_proj", c, a,
                    {.m = c.rows, .n = q + gate + k + (a.keys_are_values ? 0 : v), .k = c.hidden});
  if (a.qk_norm != QkNorm::none) {
    const double values = real(c.rows) * real(q + k);
    ops.push_back(memory_op("qk_norm", values, values, c.precision.activation));
  }
  const double rows = real(c.rows);
  ops.push_back(rope_append_op(c, rows * real(q), rows * real(k), rows * real(v)));
  append_softmax_core(ops, c, a, batches);
  if (gate > 0) {
    ops.push_back(memory_op("output_gate", rows * real(out + gate), rows * real(out),
                            c.precision.activation));
  }
  append_projection(ops, "o_proj", c, a, {.m = c.rows, .n = c.hidden, .k = out});
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
  // Queries that choose among the entries attend absorbed in prefill too.
  const bool sparse = a.indexer && batch.context > a.indexer->top_k;
  if (a.indexer) {
    detail::append_indexer_scores(ops, *a.indexer, batch, 1);
  }
  if (batch.phase == Phase::decode || sparse) {
    append_projection(ops, "k_up", c, a,
                      {.m = rows, .n = a.kv_rank, .k = a.nope_dim, .batch = heads});
    ops.push_back({"mla", sparse ? detail::sparse_latent_shape(c, a, batch)
                                 : OpShape(mla_shape(c, a, batch))});
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
  if (a.indexer) {
    detail::append_indexer_projections(ops, c, a, 1);
  }
  for (const AttentionBatch& batch : batches) {
    append_latent_core(ops, c, a, batch);
  }
  append_projection(ops, "o_proj", c, a, {.m = c.rows, .n = c.hidden, .k = heads * a.value_dim});
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
  ensure(tp >= 1 && (a.kind == AttentionKind::none || a.heads % tp == 0),
         "tensor parallelism divides the attention heads");
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
  const auto norms = [&](std::string_view label) {
    if (model.residual_streams > 1) {
      // Every stream is read for the weights and the sum, and written with its share of the output.
      const double values = real(c.rows) * real(c.hidden) * real(model.residual_streams);
      ops.push_back(memory_op("stream_mixing", 2 * values, values, precision.activation));
    }
    ops.push_back(detail::add_norm_op(label, c.rows, c.hidden, precision.activation));
  };
  if (block.mtp) {
    const double values = 2 * real(c.rows) * real(c.hidden);
    ops.push_back(memory_op("mtp_norms", values, values, precision.activation));
    ops.push_back({"mtp_proj", GemmOp{.m = c.rows,
                                      .n = c.hidden,
                                      .k = 2 * c.hidden,
                                      .dtype = precision.attention_gemm,
                                      .weight_storage = precision.weights.attention}});
  }
  if (a.kind != AttentionKind::none) {
    norms("input_norm");
  }
  switch (a.kind) {
    case AttentionKind::mha:
    case AttentionKind::gqa:
      append_softmax_attention(ops, c, a, batches);
      break;
    case AttentionKind::mla:
      append_latent_attention(ops, c, a, batches);
      break;
    case AttentionKind::linear:
      detail::append_linear_attention(ops, c, a, batches);
      break;
    case AttentionKind::mamba:
      detail::append_state_space(ops, c, a, batches);
      break;
    case AttentionKind::compressed:
      detail::append_compressed_attention(ops, c, a, batches);
      break;
    case AttentionKind::none:
      break;
  }
  if (block.cross_attention) {
    append_cross_attention(ops, c, *block.cross_attention, batches);
  }
  for (std::int64_t i = 0; i < block.extra_norms; ++i) {
    const double values = real(c.rows) * real(c.hidden);
    ops.push_back(memory_op("extra_norm", values, values, precision.activation));
  }
  if (!block.ffn.empty()) {
    norms("ffn_norm");
  }
  return ops;
}

std::vector<Op> attention_ops(const MoeModel& model, const Block& block,
                              const AttentionBatch& batch, const OpPrecision& precision,
                              std::int64_t tp) {
  return attention_ops(model, block, std::span(&batch, 1), precision, tp);
}

}  // namespace moesim
