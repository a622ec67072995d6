// Inside of the operators: shared by their sources only.
#pragma once

#include "models/network/attention_size.h"
#include "models/operators/counted_ops.h"
#include "models/operators/operators.h"

namespace moesim::detail {

// Bytes of so many values of a format.
inline Bytes size(double values, DType dtype) { return Bytes(values * stored_bits(dtype) / 8); }

// A format's scales are part of what its kernels were measured with: bits that add no more than
// those are the format's own (0), others stand for themselves.
inline double kernel_bits(double weight_bits, DType storage) {
  const double own = stored_bits(storage);
  return weight_bits >= own && weight_bits <= 1.15 * own ? 0.0 : weight_bits;
}

// Reads and writes so many values of the activation format.
inline Op memory_op(std::string_view label, double read, double written, DType dtype) {
  return {label, MemoryOp{size(read, dtype), size(written, dtype)}};
}

// Residual addition fused with the norm: reads stream and addend, writes stream and normed rows.
inline Op add_norm_op(std::string_view label, std::int64_t rows, std::int64_t hidden,
                      DType activation) {
  const double values = 2 * real(rows) * real(hidden);
  return memory_op(label, values, values, activation);
}

// Where quantisation is a kernel of its own: reads rows, writes them narrow with one fp32 scale
// per row (per 128 values for block formats). Empty for wide formats.
void append_quantisation(std::vector<Op>& ops, std::string_view label, std::int64_t rows,
                         std::int64_t width, DType gemm, const OpPrecision& precision);

// What all kernels of one attention share.
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
                       const Attention& a, const GemmOp& shape);

// Heads of one rank, at least one.
inline std::int64_t local(std::int64_t heads, std::int64_t tp) {
  return heads / tp > 1 ? heads / tp : 1;
}

// Attention whose cost does not grow with the context (operators_state.cpp).
void append_linear_attention(std::vector<Op>& ops, const Context& c, const Attention& a,
                             std::span<const AttentionBatch> batches);
void append_state_space(std::vector<Op>& ops, const Context& c, const Attention& a,
                        std::span<const AttentionBatch> batches);

// Attention to chosen or pooled entries (operators_sparse.cpp). `pooled`: tokens per entry.
void append_indexer_projections(std::vector<Op>& ops, const Context& c, const Attention& a,
                                std::int64_t pooled);
void append_indexer_scores(std::vector<Op>& ops, const Indexer& indexer,
                           const AttentionBatch& batch, std::int64_t pooled);
OpShape sparse_latent_shape(const Context& c, const Attention& a, const AttentionBatch& batch);
void append_compressed_attention(std::vector<Op>& ops, const Context& c, const Attention& a,
                                 std::span<const AttentionBatch> batches);

}  // namespace moesim::detail
