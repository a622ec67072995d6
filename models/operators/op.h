// Operators: what one rank asks of its device, one struct per kernel family. Plain shapes and
// formats; FLOP and byte counts are pure functions of them.
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

#include "sim/core/dtype.h"
#include "sim/core/units.h"

namespace moesim {

// C[m,n] = A[m,k] B[k,n]; `batch` independent products (absorbed MLA projections: one per head).
struct GemmOp {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  std::int64_t batch = 1;
  DType dtype = DType::bf16;           // format of the product
  DType weight_storage = DType::bf16;  // format in memory (int4 weights in a bf16 product)
  double weight_bits = 0.0;            // > 0: stored bits per weight, instead of the format's
};

// How a rank's routed pairs are spread over its experts: all that kernel models may look at.
struct ExpertLoad {
  std::int64_t pairs = 0;            // (token, expert) pairs computed here
  std::int64_t touched_experts = 0;  // experts with at least one pair
  std::int64_t tiles_64 = 0;         // sum over experts of ceil(pairs_e / 64)
  std::int64_t tiles_128 = 0;        // sum over experts of ceil(pairs_e / 128)
  std::int64_t busiest = 0;          // largest pairs_e
};

// How the rows of routed experts lie when their products begin; the all-to-all decides it.
enum class ExpertLayout : std::uint8_t {
  fused,       // tokens as they arrived; the framework's kernel permutes them itself
  contiguous,  // one list of rows, sorted by expert (what DeepEP's normal kernels feed)
  masked,      // a block of rows per expert, partly filled (DeepEP's low-latency kernels)
};

// The routed experts of one layer on one rank: permute, gate+up, activation, down, finalize.
struct MoeOp {
  std::int64_t entering_tokens = 0;  // rows that enter the kernel (before selection of local pairs)
  std::int64_t top_k = 0;
  std::int64_t hidden = 0;
  std::int64_t inter = 0;          // per expert, on this rank (after expert tensor parallelism)
  std::int64_t local_experts = 0;  // experts (slots) held by the rank
  std::int64_t total_experts = 0;
  int matrices = 3;  // 3: gated (gate, up, down), 2: plain
  ExpertLoad load;
  DType dtype = DType::bf16;
  DType weight_storage = DType::bf16;
  double weight_bits = 0.0;  // > 0: stored bits per weight, instead of the format's
  ExpertLayout layout = ExpertLayout::fused;
};

enum class Phase : std::uint8_t { prefill = 0, decode = 1 };

// Softmax attention over a KV cache, grouped-query or multi-head.
struct AttentionOp {
  Phase phase = Phase::decode;
  std::int64_t batch = 0;      // sequences
  std::int64_t query_len = 1;  // new tokens per sequence
  std::int64_t context = 0;    // keys per sequence, the new tokens included
  std::int64_t heads = 0;      // query heads on this rank
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  DType dtype = DType::bf16;
  DType kv_storage = DType::bf16;
  bool causal = true;       // false: encoders, cross attention
  std::int64_t window = 0;  // > 0: a query sees the latest so many keys, fewer than `context`
};

// Multi-head latent attention without its projections. Decode is absorbed: keys are the latent
// (latent_dim + rope_dim), values the latent. Prefill is expanded: heads of nope+rope and v dims.
struct MlaOp {
  Phase phase = Phase::decode;
  std::int64_t batch = 0;
  std::int64_t query_len = 1;
  std::int64_t context = 0;
  std::int64_t heads = 0;
  std::int64_t latent_dim = 512;
  std::int64_t rope_dim = 64;
  std::int64_t nope_dim = 128;
  std::int64_t value_dim = 128;
  DType dtype = DType::bf16;
  DType kv_storage = DType::bf16;
};

// Bandwidth-bound work: norms, activations, rotary embedding, top-k gate, quantisation, copies.
struct MemoryOp {
  Bytes read;
  Bytes written;
};

// Kernels that are known by their counted work, whatever their widths: laws fitted to it where
// somebody measured them, else the data sheet, marked uncalibrated.
enum class CountedKernel : std::uint8_t {
  uneven_attention,      // softmax attention with values narrower than keys
  linear_attention,      // gated delta rule
  lightning_attention,   // linear attention without the delta rule
  short_convolution,     // of a few tokens, before linear attention and Mamba
  state_space,           // Mamba
  indexer,               // scores of sparse attention
  sparse_attention,      // latent attention over chosen entries
  compressed_attention,  // over a window and pooled entries
};
inline constexpr std::size_t k_counted_kernels = 8;
std::string_view name_of(CountedKernel kernel);

struct RooflineOp {
  CountedKernel kernel = CountedKernel::uneven_attention;
  Phase phase = Phase::decode;
  std::int64_t sequences = 0;
  std::int64_t query_len = 1;  // new tokens per sequence
  std::int64_t context = 1;    // keys per sequence that the time may depend on
  std::int64_t heads = 0;      // of this rank; channels of a convolution
  Flops flops;
  Bytes bytes;
  Flops computed;               // with what the kernel computes in vain; 0: flops
  DType dtype = DType::bf16;    // of the arithmetic
  DType storage = DType::bf16;  // of the cache
};

using OpShape = std::variant<GemmOp, MoeOp, AttentionOp, MlaOp, MemoryOp, RooflineOp>;

struct Op {
  std::string_view label;  // static text: "q_proj", "experts", "mla", ...
  OpShape shape;
};

// Counted by useful_work (kernel_form.h), as kernel times are.
// Useful arithmetic: 2 per multiply-add, causal attention counted over the unmasked half.
Flops flops_of(const OpShape& op);

// Least bytes that device memory must move: every touched operand once, every result once.
Bytes bytes_of(const OpShape& op);

}  // namespace moesim
