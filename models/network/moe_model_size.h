// How large a model is: parameters, bytes of weights, bytes of KV cache.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/network/moe_model.h"
#include "sim/core/dtype.h"
#include "sim/core/units.h"

namespace moesim {

// Counts are doubles: exact below 2^53. An encoder-decoder counts both stacks: the active
// parameters of one source and one target token.
struct ParameterCounts {
  double embedding = 0;  // input table
  double head = 0;       // output projection; 0 when tied to the table
  double attention = 0;
  double dense_ffn = 0;
  double router = 0;
  double shared_experts = 0;
  double latent = 0;  // shared projections around latent experts
  double routed_experts = 0;
  double vectors = 0;         // norms, biases, constant experts
  double routed_vectors = 0;  // biases of routed experts
  double active_routed_vectors = 0;
  double active_routed_least = 0;  // routed experts that one token uses
  double active_routed_mean = 0;
  double active_routed_most = 0;
  double tied_head = 0;  // of the table, used again as output projection

  [[nodiscard]] double total() const { return always_used() + routed_experts + routed_vectors; }
  // Everything that a token's forward pass touches; the input table counts in full.
  [[nodiscard]] double active() const {
    return always_used() + active_routed_mean + active_routed_vectors;
  }
  // Without the input table, of which a token reads one row: half of the FLOPs per token, norms
  // and biases aside.
  [[nodiscard]] double active_without_embedding() const { return active() - embedding + tied_head; }
  [[nodiscard]] double always_used() const {
    return embedding + head + attention + dense_ffn + router + shared_experts + latent + vectors;
  }
};
ParameterCounts count_parameters(const MoeModel& model);

// Format of the weights in memory, per component. A component's own weight_bits win.
struct Quantisation {
  DType embedding = DType::bf16;
  DType head = DType::bf16;  // unless tied
  DType attention = DType::bf16;
  DType dense_ffn = DType::bf16;
  DType router = DType::bf16;
  DType shared_expert = DType::bf16;  // and the projections around latent experts
  DType routed_expert = DType::bf16;
  DType vectors = DType::bf16;  // norms, biases
};

// Over how many ranks each component's matrices are cut.
struct TensorParallel {
  std::int64_t attention = 1;
  std::int64_t dense = 1;
  std::int64_t shared = 1;
  std::int64_t expert = 1;
  std::int64_t vocabulary = 1;
};

// Throws ConfigError(where, ...) unless every cut leaves whole heads and columns. KV heads fewer
// than ranks are replicated.
void check_tensor_parallel(const MoeModel& model, const TensorParallel& tp,
                           const std::string& where);

// Bytes on one rank.
struct FfnBytes {
  Bytes dense;
  Bytes router;
  Bytes shared;
  Bytes latent;
  Bytes routed_expert;              // one expert
  std::int64_t routed_experts = 0;  // of the whole layer
};

struct BlockBytes {
  Bytes attention;  // cross attention included
  Bytes vectors;
  std::vector<FfnBytes> ffn;  // as Block::ffn

  // All but the routed experts.
  [[nodiscard]] Bytes resident() const;
};

struct WeightBytes {
  Bytes embedding;
  Bytes head;  // zero when tied
  Bytes final_norm;
  std::vector<BlockBytes> blocks;  // as MoeModel::blocks

  // With all experts, on one rank.
  [[nodiscard]] Bytes total(const MoeModel& model) const;
};
WeightBytes weight_bytes(const MoeModel& model, const Quantisation& formats,
                         const TensorParallel& tp = {});

// KV cache of one token in one layer while it is within every window, on one rank of `tp`; keys of
// an indexer included. MLA's latent is replicated; linear attention keeps nothing per token;
// compressed attention pools, so that a token costs its share of an entry.
Bytes kv_bytes_per_token(const Attention& attention, DType kv, std::int64_t tp = 1);

// Summed over the decoder's layers (encoders keep no cache).
Bytes kv_bytes_per_token(const MoeModel& model, DType kv, std::int64_t tp = 1);

// KV cache of one sequence of `context` tokens, on one rank: layers with a window or chunks keep no
// more than that, and each layer whole pages of `page` tokens. Without what keeps its size
// (state_bytes_per_sequence).
Bytes kv_bytes_per_sequence(const Attention& attention, DType kv, std::int64_t context,
                            std::int64_t page = 1, std::int64_t tp = 1);
// Summed over the decoder's layers, with the model's pages.
Bytes kv_bytes_per_sequence(const MoeModel& model, DType kv, std::int64_t context,
                            std::int64_t tp = 1);

// Keys and values of the cross attention, per token of the source.
Bytes cross_kv_bytes_per_source_token(const MoeModel& model, DType kv, std::int64_t tp = 1);

// State of linear attention and Mamba (fp32), their convolution windows, and pools of compressed
// attention that are not full, whatever the length.
Bytes state_bytes_per_sequence(const Attention& attention, std::int64_t tp = 1);
Bytes state_bytes_per_sequence(const MoeModel& model, std::int64_t tp = 1);

}  // namespace moesim
