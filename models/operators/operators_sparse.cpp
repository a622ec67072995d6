// Sparse attention, kernel by kernel: DeepSeek-V3.2's indexer and latent attention over what it
// chose; DeepSeek-V4's window and pooled entries.
#include <algorithm>

#include "models/operators/operators_internal.h"

namespace moesim::detail {

namespace {

constexpr double everything = 1e30;

CountedBatch counted(const AttentionBatch& batch) {
  return {batch.phase, batch.sequences, batch.query_len, batch.context};
}

double seen(const AttentionBatch& batch, std::int64_t pooled, double most) {
  return entries_seen(batch.query_len, batch.context, pooled, most);
}

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

void append_indexer_scores(std::vector<Op>& ops, const Indexer& indexer,
                           const AttentionBatch& batch, std::int64_t pooled) {
  if (batch.context / pooled <= indexer.top_k) {
    return;  // everything is chosen
  }
  ops.push_back({"indexer", indexer_op(counted(batch), indexer.heads, indexer.head_dim, pooled)});
  ops.push_back({"index_choice", index_choice_op(counted(batch), pooled, indexer.top_k)});
}

OpShape sparse_latent_shape(const Context& c, const Attention& a, const AttentionBatch& batch) {
  return sparse_latent_op(
      counted(batch),
      {.heads = a.heads / c.tp, .latent = a.kv_rank, .rope = a.rope_dim, .top_k = a.indexer->top_k},
      c.precision.attention, c.precision.kv, c.precision.activation);
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
      append_indexer_scores(ops, *a.indexer, batch, a.compress);
    }
    double pairs = seen(batch, 1, real(a.window));
    double read = std::min(real(batch.context), real(a.window + batch.query_len - 1));
    if (a.compress > 0) {
      const double far = seen(batch, a.compress, a.indexer ? real(a.indexer->top_k) : everything);
      pairs += far;
      read += batch.phase == Phase::decode && a.indexer
                  ? far
                  : std::min(far, real(batch.context / a.compress));
    }
    const double sequences = real(batch.sequences);
    const double queries = sequences * real(batch.query_len) * real(heads) * real(d);
    RooflineOp op;
    op.kernel = CountedKernel::compressed_attention;
    op.phase = batch.phase;
    op.sequences = batch.sequences;
    op.query_len = batch.query_len;
    op.context = batch.context;
    op.heads = heads;
    op.flops = Flops(4 * sequences * real(heads) * pairs * real(d));
    op.bytes = size(sequences * read * real(d), c.precision.kv) +
               size(2 * queries, c.precision.activation);
    op.dtype = c.precision.attention;
    op.storage = c.precision.kv;
    ops.push_back({"attention", op});
  }
  append_projection(ops, "o_a_proj", c, a,
                    {.m = c.rows, .n = a.o_rank, .k = a.heads / a.o_groups * d, .batch = groups});
  append_projection(ops, "o_b_proj", c, a, {.m = c.rows, .n = c.hidden, .k = groups * a.o_rank});
}

}  // namespace moesim::detail
