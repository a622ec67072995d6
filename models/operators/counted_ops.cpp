#include "models/operators/counted_ops.h"

#include <algorithm>

#include "models/operators/operators_internal.h"

namespace moesim {

using detail::real;
using detail::size;

namespace {

constexpr double k_everything = 1e30;

double seen(const CountedBatch& batch, std::int64_t pooled, double most) {
  return entries_seen(batch.query_len, batch.context, pooled, most);
}

}  // namespace

double entries_seen(std::int64_t query_len, std::int64_t context, std::int64_t pooled,
                    double most) {
  const double past = real(context - query_len);
  const double queries = real(query_len);
  const double per_entry = real(pooled);
  const double growing = std::clamp(most * per_entry - past, 0.0, queries);
  return (growing * past + growing * (growing + 1) / 2) / per_entry + (queries - growing) * most;
}

RooflineOp linear_attention_op(const CountedBatch& batch, const LinearAttentionWidths& widths,
                               DType dtype, DType activation) {
  constexpr double longest_chunk = 64;
  const double heads = real(widths.heads);
  const double keys = real(widths.key_dim);
  const double values = real(widths.value_dim);
  const double tokens = real(batch.sequences) * real(batch.query_len);
  const double state = heads * keys * values;
  RooflineOp op;
  op.kernel = widths.delta ? CountedKernel::linear_attention : CountedKernel::lightning_attention;
  op.phase = batch.phase;
  op.sequences = batch.sequences;
  op.query_len = op.context = batch.query_len;
  op.heads = widths.heads;
  op.dtype = op.storage = dtype;
  const Bytes rows = size(tokens * heads * 2 * (keys + values), activation);
  if (batch.phase == Phase::decode) {
    op.flops = Flops(6 * tokens * state);
    op.bytes = size(2 * tokens * state, DType::fp32) + rows;
    return op;
  }
  const double chunk = std::min(longest_chunk, real(batch.query_len));
  const double within =
      2 * chunk * (keys + values) + (widths.delta ? 2 * chunk * (2 * keys + values) : 0);
  op.flops = Flops(tokens * (heads * within + 6 * state));
  op.bytes = size(2 * tokens / chunk * state, DType::fp32) + rows;
  return op;
}

RooflineOp short_convolution_op(const CountedBatch& batch, std::int64_t channels,
                                std::int64_t width, DType activation) {
  const double tokens = real(batch.sequences) * real(batch.query_len);
  const double kept = real(batch.sequences) * real(width - 1);
  RooflineOp op;
  op.kernel = CountedKernel::short_convolution;
  op.phase = batch.phase;
  op.sequences = batch.sequences;
  op.query_len = op.context = batch.query_len;
  op.heads = channels;
  op.flops = Flops(2 * tokens * real(channels) * real(width));
  op.bytes = size((2 * tokens + (batch.phase == Phase::decode ? 2 : 1) * kept) * real(channels),
                  activation);
  return op;
}

RooflineOp indexer_op(const CountedBatch& batch, std::int64_t heads, std::int64_t head_dim,
                      std::int64_t pooled) {
  const double sequences = real(batch.sequences);
  const double pairs = sequences * seen(batch, pooled, k_everything);
  const double queries = sequences * real(batch.query_len);
  const double entries = sequences * real(batch.context / pooled);
  RooflineOp op;
  op.kernel = CountedKernel::indexer;
  op.phase = batch.phase;
  op.sequences = batch.sequences;
  op.query_len = batch.query_len;
  op.context = batch.context / pooled;
  op.heads = heads;
  op.flops = Flops(2 * pairs * real(heads) * real(head_dim));
  op.bytes = size(entries * real(head_dim), DType::fp8) + size(entries + pairs, DType::fp32) +
             size(queries * real(heads) * real(head_dim), DType::fp8);
  op.dtype = op.storage = DType::fp8;
  return op;
}

MemoryOp index_choice_op(const CountedBatch& batch, std::int64_t pooled, std::int64_t top_k) {
  const double sequences = real(batch.sequences);
  return {size(sequences * seen(batch, pooled, k_everything), DType::fp32),
          size(sequences * real(batch.query_len) * real(top_k), DType::fp32)};
}

RooflineOp sparse_latent_op(const CountedBatch& batch, const SparseLatentWidths& widths,
                            DType dtype, DType kv, DType activation) {
  const double sequences = real(batch.sequences);
  const double queries = sequences * real(batch.query_len);
  const double heads = real(widths.heads);
  const double pairs = seen(batch, 1, real(widths.top_k));
  const double read = batch.phase == Phase::decode ? pairs : std::min(pairs, real(batch.context));
  const double products = 2 * real(widths.latent) + real(widths.rope);
  RooflineOp op;
  op.kernel = CountedKernel::sparse_attention;
  op.phase = batch.phase;
  op.sequences = batch.sequences;
  op.query_len = batch.query_len;
  op.context = batch.context;
  op.heads = widths.heads;
  op.flops = Flops(2 * sequences * heads * pairs * products);
  op.computed = Flops(2 * queries * heads * real(widths.top_k) * products);
  op.bytes = size(sequences * read * real(widths.latent + widths.rope), kv) +
             size(queries * heads * products, activation);
  op.dtype = dtype;
  op.storage = kv;
  return op;
}

}  // namespace moesim
