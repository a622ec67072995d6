#include "calibrate/cuda/kernels/routing.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "calibrate/cuda/device/check.h"

namespace moesim::bench {
namespace {

constexpr int threads = 256;
constexpr int most_experts = 1024;

__global__ void count_kernel(const std::int32_t* choices, int pairs, std::int32_t* counts) {
  const int pair = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (pair < pairs && choices[pair] >= 0) {
    atomicAdd(&counts[choices[pair]], 1);
  }
}

// One block: offsets = exclusive sums of the counts, which become the cursors of the next kernel.
__global__ void scan_kernel(std::int32_t* counts, int experts, std::int32_t* offsets) {
  __shared__ std::int32_t sums[most_experts];
  const int expert = static_cast<int>(threadIdx.x);
  const std::int32_t mine = expert < experts ? counts[expert] : 0;
  sums[expert] = mine;
  __syncthreads();
  for (int distance = 1; distance < most_experts; distance *= 2) {
    const std::int32_t before = expert >= distance ? sums[expert - distance] : 0;
    __syncthreads();
    sums[expert] += before;
    __syncthreads();
  }
  if (expert < experts) {
    offsets[expert] = sums[expert] - mine;
    counts[expert] = sums[expert] - mine;
    if (expert == experts - 1) {
      offsets[experts] = sums[expert];
    }
  }
}

__global__ void scatter_kernel(const std::int32_t* choices, int pairs, int top_k,
                               std::int32_t* cursors, std::int32_t* row_of_pair,
                               std::int32_t* token_of_row) {
  const int pair = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (pair >= pairs) {
    return;
  }
  const std::int32_t expert = choices[pair];
  const std::int32_t row = expert < 0 ? -1 : atomicAdd(&cursors[expert], 1);
  row_of_pair[pair] = row;
  if (row >= 0) {
    token_of_row[row] = pair / top_k;
  }
}

// A block per row.
__global__ void permute_kernel(const uint4* rows, const std::int32_t* token_of_row, int chunks,
                               uint4* rows_out) {
  const uint4* from = rows + static_cast<std::size_t>(token_of_row[blockIdx.x]) * chunks;
  uint4* to = rows_out + static_cast<std::size_t>(blockIdx.x) * chunks;
  for (int i = static_cast<int>(threadIdx.x); i < chunks; i += static_cast<int>(blockDim.x)) {
    to[i] = from[i];
  }
}

__device__ float2 widened(__nv_bfloat162 pair) { return __bfloat1622float2(pair); }
__device__ float2 widened(__half2 pair) { return __half22float2(pair); }
__device__ void narrow(float2 values, __nv_bfloat162& out) { out = __float22bfloat162_rn(values); }
__device__ void narrow(float2 values, __half2& out) { out = __float22half2_rn(values); }

// A block per token, pairs of neighbouring columns.
template <class Pair>
__global__ void sum_kernel(const Pair* rows, const std::int32_t* row_of_pair, const float* weights,
                           int top_k, int columns, Pair* out) {
  const std::size_t token = blockIdx.x;
  for (int c = static_cast<int>(threadIdx.x); c < columns; c += static_cast<int>(blockDim.x)) {
    float2 sum{0, 0};
    for (int i = 0; i < top_k; ++i) {
      const std::int32_t row = row_of_pair[token * top_k + i];
      if (row >= 0) {
        const float2 value = widened(rows[static_cast<std::size_t>(row) * columns + c]);
        const float weight = weights[token * top_k + i];
        sum.x += weight * value.x;
        sum.y += weight * value.y;
      }
    }
    narrow(sum, out[token * columns + c]);
  }
}

int blocks_for(int items) { return (items + threads - 1) / threads; }

}  // namespace

void build_permutation(const std::int32_t* choices, int tokens, int top_k, int experts,
                       std::int32_t* offsets, std::int32_t* cursors, std::int32_t* row_of_pair,
                       std::int32_t* token_of_row, cudaStream_t stream) {
  const int pairs = tokens * top_k;
  MOESIM_CHECK(cudaMemsetAsync(cursors, 0, sizeof(std::int32_t) * (experts + 1), stream));
  count_kernel<<<blocks_for(pairs), threads, 0, stream>>>(choices, pairs, cursors);
  MOESIM_CHECK(cudaGetLastError());
  scan_kernel<<<1, most_experts, 0, stream>>>(cursors, experts, offsets);
  MOESIM_CHECK(cudaGetLastError());
  scatter_kernel<<<blocks_for(pairs), threads, 0, stream>>>(choices, pairs, top_k, cursors,
                                                            row_of_pair, token_of_row);
  MOESIM_CHECK(cudaGetLastError());
}

void permute_rows(const void* rows, const std::int32_t* token_of_row, int pairs,
                  std::size_t row_bytes, void* rows_out, cudaStream_t stream) {
  const int chunks = static_cast<int>(row_bytes / sizeof(uint4));
  permute_kernel<<<pairs, threads, 0, stream>>>(static_cast<const uint4*>(rows), token_of_row,
                                                chunks, static_cast<uint4*>(rows_out));
  MOESIM_CHECK(cudaGetLastError());
}

void sum_rows(const void* rows, const std::int32_t* row_of_pair, const float* weights, int tokens,
              int top_k, int width, bool half, void* out, cudaStream_t stream) {
  if (half) {
    sum_kernel<<<tokens, threads, 0, stream>>>(static_cast<const __half2*>(rows), row_of_pair,
                                               weights, top_k, width / 2,
                                               static_cast<__half2*>(out));
  } else {
    sum_kernel<<<tokens, threads, 0, stream>>>(static_cast<const __nv_bfloat162*>(rows),
                                               row_of_pair, weights, top_k, width / 2,
                                               static_cast<__nv_bfloat162*>(out));
  }
  MOESIM_CHECK(cudaGetLastError());
}

}  // namespace moesim::bench
