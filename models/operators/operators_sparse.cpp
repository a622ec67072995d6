// Sparse attention, kernel by kernel: DeepSeek-V3.2's indexer and latent attention over what it
// chose; DeepSeek-V4's window and pooled entries.
#include <algorithm>

#include "models/operators/operators_internal.h"

namespace moesim::detail {

namespace {

// Sum over the new tokens of one sequence of min(most, entries before the token), where `pooled`
// tokens make an entry.
double entries_seen(const AttentionBatch& batch, std::int64_t pooled, double most) {
  const double past = real(batch.context - batch.query_len);
  const double queries = real(batch.query_len);
  const double per_entry = real(pooled);
  const double growing = std::clamp(most * per_entry - past, 0.0, queries);
  return (growing * past + growing * (growing + 1) / 2) / per_entry + (queries - growing) * most;
}

constexpr double everything = 1e30;

}  // namespace

// Every rank of a tensor-parallel group has the whole indexer.
void append_indexer_projections(std::vector<Op>& ops, const Context& c, const Attention& a,
                                std::int64_t pooled) {
  const Indexer& indexer = *a.indexer;
  append_projection(ops, "index_q_proj", c, a,
                    {.m = c.rows, .n = indexer.heads * indexer.head_dim, .k = a.q_rank});
  // Keys (pooled ones: values and scores of overlapping pools) and a weight per head.
  const std::int64_t keys = (pooled > 1 ? 4 : 1) * indexer.head_dim;
  append_projection(ops, "index_k_proj", c, a,
                    {.m = c.rows, .n = keys + indexer.heads, .k = c.hidden});
}

// A score of every head with every entry before the query, their weighted sum, and the choice: keys
// of one byte with their scales are read once, the sums (fp32) written and read.
void append_indexer_scores(std::vector<Op>& ops, const Context& c, const Indexer& indexer,
                           const AttentionBatch& batch, std::int64_t pooled) {
  if (batch.context / pooled <= indexer.top_k) {
    return;  // everything is chosen
  }
  const double sequences = real(batch.sequences);
  const double pairs = sequences * entries_seen(batch, pooled, everything);
  const double queries = sequences * real(batch.query_len);
  const double entries = sequences * real(batch.context / pooled);
  const double dim = real(indexer.head_dim);
  const double heads = real(indexer.heads);
  ops.push_back({"indexer", RooflineOp{.kernel = UnmeasuredKernel::indexer,
                                       .flops = Flops(2 * pairs * heads * dim),
                                       .bytes = size(entries * dim, DType::fp8) +
                                                size(entries + 2 * pairs, DType::fp32) +
                                                size(queries * heads * dim, DType::fp8),
                                       .dtype = c.precision.attention}});
}

// Absorbed: all heads share an entry. Decoding queries read their own choice; those of a prompt
// share what is in the cache, each entry counted once.
OpShape sparse_latent_shape(const Context& c, const Attention& a, const AttentionBatch& batch) {
  const double sequences = real(batch.sequences);
  const double heads = real(a.heads / c.tp);
  const double pairs = entries_seen(batch, 1, real(a.indexer->top_k));
  const double entry = real(a.kv_rank + a.rope_dim);
  const double read = batch.phase == Phase::decode ? pairs : std::min(pairs, real(batch.context));
  const double widths = 2 * real(a.kv_rank) + real(a.rope_dim);
  return RooflineOp{
      .kernel = UnmeasuredKernel::sparse_attention,
      .flops = Flops(2 * sequences * heads * pairs * widths),
      .bytes = size(sequences * read * entry, c.precision.kv) +
               size(sequences * real(batch.query_len) * heads * widths, c.precision.activation),
      .dtype = c.precision.attention};
}

void append_compressed_attention(std::vector<Op>& ops, const Context& c, const Attention& a,
                                 std::span<const AttentionBatch> batches) {
  const std::int64_t heads = a.heads / c.tp;
  const std::int64_t groups = local(a.o_groups, c.tp);
  const std::int64_t d = a.head_dim;
  const std::int64_t pools = a.indexer ? 2 : 1;
  const std::int64_t pooled = a.compress > 0 ? 2 * pools * d : 0;
  const double rows = real(c.rows);
  append_projection(ops, "qkv_a_proj", c, a,
                    {.m = c.rows, .n = a.q_rank + d + pooled, .k = c.hidden});
  const double normed = rows * real(a.q_rank + d);
  ops.push_back(memory_op("latent_norm", normed, normed, c.precision.activation));
  append_projection(ops, "q_b_proj", c, a, {.m = c.rows, .n = heads * d, .k = a.q_rank});
  const double rotated = rows * real(heads * a.rope_dim + d);
  ops.push_back(
      {"rope_append", MemoryOp{size(rotated, c.precision.activation),
                               size(rows * real(heads * a.rope_dim), c.precision.activation) +
                                   size(rows * real(d), c.precision.kv)}});
  if (a.compress > 0) {
    const double values = rows * real(pooled);
    ops.push_back(
        memory_op("pool", values, rows * real(d) / real(a.compress), c.precision.activation));
  }
  if (a.indexer) {
    append_indexer_projections(ops, c, a, a.compress);
  }
  for (const AttentionBatch& batch : batches) {
    if (a.indexer) {
      append_indexer_scores(ops, c, *a.indexer, batch, a.compress);
    }
    double pairs = entries_seen(batch, 1, real(a.window));
    double read = std::min(real(batch.context), real(a.window + batch.query_len - 1));
    if (a.compress > 0) {
      const double far =
          entries_seen(batch, a.compress, a.indexer ? real(a.indexer->top_k) : everything);
      pairs += far;
      read += batch.phase == Phase::decode && a.indexer
                  ? far
                  : std::min(far, real(batch.context / a.compress));
    }
    const double sequences = real(batch.sequences);
    const double queries = sequences * real(batch.query_len) * real(heads) * real(d);
    ops.push_back(
        {"attention", RooflineOp{.kernel = UnmeasuredKernel::compressed_attention,
                                 .flops = Flops(4 * sequences * real(heads) * pairs * real(d)),
                                 .bytes = size(sequences * read * real(d), c.precision.kv) +
                                          size(2 * queries, c.precision.activation),
                                 .dtype = c.precision.attention}});
  }
  append_projection(ops, "o_a_proj", c, a,
                    {.m = c.rows, .n = a.o_rank, .k = a.heads / a.o_groups * d, .batch = groups});
  append_projection(ops, "o_b_proj", c, a, {.m = c.rows, .n = c.hidden, .k = groups * a.o_rank});
}

}  // namespace moesim::detail
