// Linear attention and Mamba, kernel by kernel: a state per sequence instead of a cache.
#include <algorithm>

#include "models/operators/operators_internal.h"

namespace moesim::detail {

namespace {

CountedBatch counted(const AttentionBatch& batch) {
  return {batch.phase, batch.sequences, batch.query_len, batch.context};
}

// Decode reads and writes the state. Mamba-2 prefills in chunks (2405.21060, section 6): C B^T per
// group, its product with x, and the states; Mamba-1 scans.
RooflineOp state_space_core(const Context& c, const Attention& a, const AttentionBatch& batch) {
  constexpr double longest_chunk = 256;
  const double channels = real(a.heads / c.tp) * real(a.head_dim);
  const double tokens = real(batch.sequences) * real(batch.query_len);
  const double groups = real(local(a.kv_heads, c.tp));
  const double state = channels * real(a.value_dim);
  RooflineOp op;
  op.kernel = CountedKernel::state_space;
  op.phase = batch.phase;
  op.sequences = batch.sequences;
  op.query_len = op.context = batch.query_len;
  op.heads = a.heads / c.tp;
  op.flops = Flops(6 * tokens * state);
  op.dtype = op.storage = c.precision.attention;
  const Bytes rows =
      size(tokens * (3 * channels + 2 * groups * real(a.value_dim)), c.precision.activation);
  if (batch.phase == Phase::decode) {
    op.bytes = size(2 * tokens * state, DType::fp32) + rows;
    return op;
  }
  if (a.dt_rank > 0) {
    op.bytes = rows + size(real(batch.sequences) * 2 * state, DType::fp32);
    return op;
  }
  const double chunk = std::min(longest_chunk, real(batch.query_len));
  op.flops = Flops(tokens * (2 * chunk * (groups * real(a.value_dim) + channels) + 4 * state));
  op.bytes = size(2 * tokens / chunk * state, DType::fp32) + rows;
  return op;
}

void append_conv(std::vector<Op>& ops, const Context& c, std::int64_t width, std::int64_t channels,
                 std::span<const AttentionBatch> batches) {
  if (width == 0) {
    return;
  }
  for (const AttentionBatch& batch : batches) {
    ops.push_back(
        {"conv", short_convolution_op(counted(batch), channels, width, c.precision.activation)});
  }
}

}  // namespace

void append_linear_attention(std::vector<Op>& ops, const Context& c, const Attention& a,
                             std::span<const AttentionBatch> batches) {
  const std::int64_t heads = a.heads / c.tp;
  const std::int64_t values = heads * a.value_dim;
  const std::int64_t mixed = 2 * local(a.kv_heads, c.tp) * a.head_dim + values;
  append_projection(ops, "in_proj", c, a,
                    {.m = c.rows,
                     .n = mixed + (a.output_gate ? values : 0) + (a.delta ? 2 * heads : 0),
                     .k = c.hidden});
  append_conv(ops, c, a.conv_width, mixed, batches);
  for (const AttentionBatch& batch : batches) {
    ops.push_back(
        {"linear_attention",
         linear_attention_op(
             counted(batch),
             {.heads = heads, .key_dim = a.head_dim, .value_dim = a.value_dim, .delta = a.delta},
             c.precision.attention, c.precision.activation)});
  }
  const double out = real(c.rows) * real(values);
  ops.push_back(
      memory_op("gated_norm", (a.output_gate ? 2 : 1) * out, out, c.precision.activation));
  append_projection(ops, "o_proj", c, a, {.m = c.rows, .n = c.hidden, .k = values});
}

void append_state_space(std::vector<Op>& ops, const Context& c, const Attention& a,
                        std::span<const AttentionBatch> batches) {
  const std::int64_t heads = a.heads / c.tp;
  const std::int64_t channels = heads * a.head_dim;
  const bool first = a.dt_rank > 0;  // Mamba-1
  const std::int64_t mixed = first ? 0 : 2 * local(a.kv_heads, c.tp) * a.value_dim;
  append_projection(ops, "in_proj", c, a,
                    {.m = c.rows, .n = 2 * channels + mixed + (first ? 0 : heads), .k = c.hidden});
  append_conv(ops, c, a.conv_width, channels + mixed, batches);
  if (first) {
    append_projection(ops, "x_proj", c, a,
                      {.m = c.rows, .n = a.dt_rank + 2 * a.value_dim, .k = channels});
    append_projection(ops, "dt_proj", c, a, {.m = c.rows, .n = channels, .k = a.dt_rank});
  }
  for (const AttentionBatch& batch : batches) {
    ops.push_back({"state_space", state_space_core(c, a, batch)});
  }
  const double out = real(c.rows) * real(channels);
  ops.push_back(memory_op("gated_norm", 2 * out, out, c.precision.activation));
  append_projection(ops, "o_proj", c, a, {.m = c.rows, .n = c.hidden, .k = channels});
}

}  // namespace moesim::detail
