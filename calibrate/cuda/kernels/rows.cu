// Kernels that work row by row: gate, norm, softmax.
#include "calibrate/cuda/device/check.h"
#include "calibrate/cuda/kernels/device_math.cuh"
#include "calibrate/cuda/kernels/small.h"

namespace moesim::bench {
namespace {

constexpr int threads = 256;
constexpr int warps = threads / warp_size;
constexpr int logits_per_lane = 256 / warp_size;

__global__ void gate_kernel(const float* logits, int tokens, int expert_count, int top_k,
                            std::int32_t* experts, float* weights) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const int token = static_cast<int>(blockIdx.x * warps + threadIdx.x / warp_size);
  if (token >= tokens) {
    return;
  }
  float value[logits_per_lane];
  float largest = -INFINITY;
#pragma unroll
  for (int i = 0; i < logits_per_lane; ++i) {
    const int expert = i * warp_size + lane;
    value[i] = expert < expert_count
                   ? logits[static_cast<std::size_t>(token) * expert_count + expert]
                   : -INFINITY;
    largest = fmaxf(largest, value[i]);
  }
  largest = warp_max(largest);
  float chosen_sum = 0;
  float mine = 0;  // lane i keeps the weight of choice i
#pragma unroll
  for (int i = 0; i < logits_per_lane; ++i) {
    value[i] = __expf(value[i] - largest);
  }
  for (int choice = 0; choice < top_k; ++choice) {
    float best = -1;
    int best_expert = 0;
#pragma unroll
    for (int i = 0; i < logits_per_lane; ++i) {
      if (value[i] > best) {
        best = value[i];
        best_expert = i * warp_size + lane;
      }
    }
    for (int offset = warp_size / 2; offset > 0; offset /= 2) {
      const float other = __shfl_xor_sync(~0U, best, offset);
      const int other_expert = __shfl_xor_sync(~0U, best_expert, offset);
      // Ties go to the lower index, the same on every lane.
      if (other > best || (other == best && other_expert < best_expert)) {
        best = other;
        best_expert = other_expert;
      }
    }
#pragma unroll
    for (int i = 0; i < logits_per_lane; ++i) {
      value[i] = i * warp_size + lane == best_expert ? -1 : value[i];
    }
    chosen_sum += best;
    mine = lane == choice ? best : mine;
    if (lane == 0) {
      experts[static_cast<std::size_t>(token) * top_k + choice] = best_expert;
    }
  }
  // The softmax's own sum cancels when the chosen weights are normalised.
  if (lane < top_k) {
    weights[static_cast<std::size_t>(token) * top_k + lane] = mine / chosen_sum;
  }
}

// Over a block; every thread gets the result.
template <class Combine>
__device__ float block_reduce(float value, float neutral, const Combine& combine) {
  __shared__ float parts[warps];
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  for (int offset = warp_size / 2; offset > 0; offset /= 2) {
    value = combine(value, __shfl_xor_sync(~0U, value, offset));
  }
  __syncthreads();  // the previous reduction's parts have been read
  if (lane == 0) {
    parts[threadIdx.x / warp_size] = value;
  }
  __syncthreads();
  float all = neutral;
  for (const float part : parts) {
    all = combine(all, part);
  }
  return all;
}

__device__ float2 pair_at(const __nv_bfloat162* row, int i) { return __bfloat1622float2(row[i]); }

__global__ void rms_norm_kernel(const __nv_bfloat162* x, const __nv_bfloat162* weight, int pairs,
                                __nv_bfloat162* out) {
  const __nv_bfloat162* row = x + static_cast<std::size_t>(blockIdx.x) * pairs;
  __nv_bfloat162* to = out + static_cast<std::size_t>(blockIdx.x) * pairs;
  float squares = 0;
  for (int i = static_cast<int>(threadIdx.x); i < pairs; i += threads) {
    const float2 v = pair_at(row, i);
    squares += v.x * v.x + v.y * v.y;
  }
  squares = block_reduce(squares, 0, [](float a, float b) { return a + b; });
  const float factor = rsqrtf(squares / static_cast<float>(2 * pairs) + 1e-6F);
  for (int i = static_cast<int>(threadIdx.x); i < pairs; i += threads) {
    const float2 v = pair_at(row, i);
    const float2 w = pair_at(weight, i);
    to[i] = __floats2bfloat162_rn(v.x * factor * w.x, v.y * factor * w.y);
  }
}

__global__ void softmax_kernel(const __nv_bfloat162* x, int pairs, __nv_bfloat162* out) {
  const __nv_bfloat162* row = x + static_cast<std::size_t>(blockIdx.x) * pairs;
  __nv_bfloat162* to = out + static_cast<std::size_t>(blockIdx.x) * pairs;
  float largest = -INFINITY;
  for (int i = static_cast<int>(threadIdx.x); i < pairs; i += threads) {
    const float2 v = pair_at(row, i);
    largest = fmaxf(largest, fmaxf(v.x, v.y));
  }
  largest = block_reduce(largest, -INFINITY, [](float a, float b) { return fmaxf(a, b); });
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < pairs; i += threads) {
    const float2 v = pair_at(row, i);
    sum += __expf(v.x - largest) + __expf(v.y - largest);
  }
  sum = block_reduce(sum, 0, [](float a, float b) { return a + b; });
  for (int i = static_cast<int>(threadIdx.x); i < pairs; i += threads) {
    const float2 v = pair_at(row, i);
    to[i] = __floats2bfloat162_rn(__expf(v.x - largest) / sum, __expf(v.y - largest) / sum);
  }
}

}  // namespace

void gate(const float* logits, int tokens, int expert_count, int top_k, std::int32_t* experts,
          float* weights, cudaStream_t stream) {
  gate_kernel<<<(tokens + warps - 1) / warps, threads, 0, stream>>>(logits, tokens, expert_count,
                                                                    top_k, experts, weights);
  MOESIM_CHECK(cudaGetLastError());
}

void rms_norm(const void* x, const void* weight, int rows, int width, void* out,
              cudaStream_t stream) {
  rms_norm_kernel<<<rows, threads, 0, stream>>>(static_cast<const __nv_bfloat162*>(x),
                                                static_cast<const __nv_bfloat162*>(weight),
                                                width / 2, static_cast<__nv_bfloat162*>(out));
  MOESIM_CHECK(cudaGetLastError());
}

void softmax_rows(const void* x, int rows, int width, void* out, cudaStream_t stream) {
  softmax_kernel<<<rows, threads, 0, stream>>>(static_cast<const __nv_bfloat162*>(x), width / 2,
                                               static_cast<__nv_bfloat162*>(out));
  MOESIM_CHECK(cudaGetLastError());
}

}  // namespace moesim::bench
