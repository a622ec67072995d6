// Small kernels of an inference step, in their plain forms.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace moesim::bench {

// Softmax over the experts of every token, then the top_k largest: experts[t][i] in falling order
// and weights[t][i], normalised to 1. expert_count: at most 256; a warp per token.
void gate(const float* logits, int tokens, int expert_count, int top_k, std::int32_t* experts,
          float* weights, cudaStream_t stream);

// bf16 rows; width: even.
void rms_norm(const void* x, const void* weight, int rows, int width, void* out,
              cudaStream_t stream);
void softmax_rows(const void* x, int rows, int width, void* out, cudaStream_t stream);

// bf16 [count] -> fp8 (e4m3): out = x / *scale. count: a multiple of 8.
void scale_to_fp8(const void* x, std::size_t count, const float* scale, void* out,
                  cudaStream_t stream);
// *scale = largest magnitude / 448.
void find_scale(const void* x, std::size_t count, float* scale, cudaStream_t stream);
// fp8 [m][k] with scales[ceil(m/128)][k/128] -> bf16. k: a multiple of 128.
void fp8_to_bf16(const void* x, int m, int k, const float* scales, void* out, cudaStream_t stream);
// Two 4-bit values (0..15, zero at 8) per byte, scales[m][k/128] -> bf16. k: a multiple of 128.
void int4_to_bf16(const void* x, int m, int k, const float* scales, void* out, cudaStream_t stream);

void empty_kernel(cudaStream_t stream);

}  // namespace moesim::bench
