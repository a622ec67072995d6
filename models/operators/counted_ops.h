// Kernels known by their counted work: what operators lower and what benchmarks time are counted by
// the same functions. Heads and channels are those of one rank.
#pragma once

#include "models/operators/op.h"

namespace moesim {

// Sum over the new tokens of one sequence of min(most, entries before and with the token), where
// `pooled` tokens make an entry.
double entries_seen(std::int64_t query_len, std::int64_t context, std::int64_t pooled, double most);

struct CountedBatch {
  Phase phase = Phase::decode;
  std::int64_t sequences = 0;
  std::int64_t query_len = 1;  // new tokens per sequence
  std::int64_t context = 0;    // tokens per sequence, the new ones included
};

struct LinearAttentionWidths {
  std::int64_t heads = 0;  // of values
  std::int64_t key_dim = 0;
  std::int64_t value_dim = 0;
  bool delta = true;  // gated delta rule; false: lightning attention
};
// Decode reads and writes the state (fp32) of every sequence: k S, the update k v^T, q S. Prefill
// in chunks of 64 tokens (arXiv:2406.06484): k k^T, q k^T and its product with v, the chunk's
// corrected keys and values (delta rule), and three products with the state, which each chunk reads
// and writes.
RooflineOp linear_attention_op(const CountedBatch& batch, const LinearAttentionWidths& widths,
                               DType dtype, DType activation);

// Of `width` tokens per channel: rows in and out; decode reads and writes the width - 1 rows that
// it keeps of every sequence, prefill writes them.
RooflineOp short_convolution_op(const CountedBatch& batch, std::int64_t channels,
                                std::int64_t width, DType activation);

// Scores of sparse attention (DeepSeek-V3.2): of every head with every entry before the query, and
// their weighted sum. Keys of one byte with a scale (fp32) are read once, the sums (fp32) written.
RooflineOp indexer_op(const CountedBatch& batch, std::int64_t heads, std::int64_t head_dim,
                      std::int64_t pooled);
// The choice among the sums: read once, the chosen entries' numbers written.
MemoryOp index_choice_op(const CountedBatch& batch, std::int64_t pooled, std::int64_t top_k);

struct SparseLatentWidths {
  std::int64_t heads = 0;
  std::int64_t latent = 0;
  std::int64_t rope = 0;
  std::int64_t top_k = 0;
};
// Absorbed attention to the chosen entries, which all heads share. Decoding queries read their own
// choice; those of a prompt share what is in the cache, each entry counted once. Kernels work
// through top_k slots, filled or not (alibaba/InferSim's rows say the same at 1,024 keys as at more
// than 2,048).
RooflineOp sparse_latent_op(const CountedBatch& batch, const SparseLatentWidths& widths,
                            DType dtype, DType kv, DType activation);

}  // namespace moesim
