// Attention in our own reference kernels: flash-style tiles (Dao 2022, arXiv:2205.14135) for
// prefill, split caches (Flash-Decoding) for decode. They are clear rather than tuned, run on
// mma.sync everywhere, and keep the cache contiguous.
#pragma once

#include <cuda_runtime_api.h>

namespace moesim::bench {

// Causal, bf16. q: [batch][length][heads][qk_dim], k: [batch][length][kv_heads][qk_dim],
// v: [batch][length][kv_heads][v_dim], out: like q with v_dim.
struct PrefillShape {
  int batch = 0;
  int length = 0;
  int heads = 0;
  int kv_heads = 0;
  int qk_dim = 0;  // with v_dim: 64/64, 128/128 or 192/128
  int v_dim = 0;
};
// Throws Unsupported for other widths.
void prefill_attention(const PrefillShape& shape, const void* q, const void* k, const void* v,
                       void* out, cudaStream_t stream);

// One query token per sequence. q: [batch][heads][qk_dim] bf16. Cache in bf16 or fp8 (one scale,
// 1): k: [batch][length][kv_heads][qk_dim], v: [batch][length][kv_heads][v_dim]. Latent: 576/512
// with kv_heads 1, where v is the first v_dim of each k and the argument is not read. out:
// [batch][heads][v_dim] bf16.
struct DecodeShape {
  int batch = 0;
  int length = 0;
  int heads = 0;
  int kv_heads = 0;
  int qk_dim = 0;  // with v_dim: 64/64, 128/128 or 576/512
  int v_dim = 0;
  bool fp8_cache = false;
  int splits = 1;  // of the cache, by decode_splits()
};
// So many parts of the cache that the device is full, but no part below 128 tokens; at most 64.
int decode_splits(const DecodeShape& shape, int multiprocessors);
// fp32 values of scratch space.
std::size_t decode_scratch(const DecodeShape& shape);
void decode_attention(const DecodeShape& shape, const void* q, const void* k, const void* v,
                      float* scratch, void* out, cudaStream_t stream);

}  // namespace moesim::bench
