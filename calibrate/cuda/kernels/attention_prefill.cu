#include <string>

#include "calibrate/cuda/device/check.h"
#include "calibrate/cuda/device/shared_memory.h"
#include "calibrate/cuda/host/session.h"
#include "calibrate/cuda/kernels/attention.h"
#include "calibrate/cuda/kernels/device_math.cuh"

namespace moesim::bench {
namespace {

constexpr int tile = 64;  // of queries and of keys
constexpr int warps = 4;  // 16 queries each
constexpr int threads = warps * warp_size;
constexpr int padding = 8;  // bf16 values, so that a fragment's rows lie in different banks
constexpr int key_fragments = tile / 8;
constexpr float log2_e = 1.4426950408889634F;

template <int QkDim, int VDim>
struct Stage {
  __nv_bfloat16 k[tile][QkDim + padding];
  __nv_bfloat16 v[tile][VDim + padding];
};

// `rows` of them are there; the others become zeros. Rows lie `stride` values apart.
template <int Dim>
__device__ void load_tile(__nv_bfloat16 (*shared)[Dim + padding], const __nv_bfloat16* global,
                          std::size_t stride, int rows) {
  constexpr int chunks = Dim / 8;
  for (int i = static_cast<int>(threadIdx.x); i < tile * chunks; i += threads) {
    const int row = i / chunks;
    const int column = i % chunks * 8;
    const bool valid = row < rows;
    copy_async(&shared[row][column], global + (valid ? row : 0) * stride + column, valid);
  }
}

// Running softmax of the two rows that a thread has parts of.
struct Rows {
  float largest[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0, 0};
};

// Turns scores into weights exp2(s - largest), and returns what earlier results must shrink by.
__device__ void softmax_step(float (&s)[key_fragments][4], Rows& rows, float (&shrink)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float largest = rows.largest[half];
#pragma unroll
    for (int n = 0; n < key_fragments; ++n) {
      largest = fmaxf(largest, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
    }
    largest = fmaxf(largest, __shfl_xor_sync(~0U, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(~0U, largest, 2));
    shrink[half] = exp2f(rows.largest[half] - largest);
    rows.largest[half] = largest;
    float sum = 0;
#pragma unroll
    for (int n = 0; n < key_fragments; ++n) {
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        s[n][i] = exp2f(s[n][i] - largest);
        sum += s[n][i];
      }
    }
    rows.sum[half] = rows.sum[half] * shrink[half] + sum;
  }
}

template <int QkDim, int VDim>
__global__ __launch_bounds__(threads) void prefill_kernel(const __nv_bfloat16* q,
                                                          const __nv_bfloat16* k,
                                                          const __nv_bfloat16* v,
                                                          __nv_bfloat16* out, PrefillShape shape,
                                                          float scale) {
  extern __shared__ __align__(16) unsigned char memory[];
  auto* stages = reinterpret_cast<Stage<QkDim, VDim>*>(memory);
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const int group = lane / 4;
  const int quad = lane % 4;
  const int warp = static_cast<int>(threadIdx.x) / warp_size;
  const int head = static_cast<int>(blockIdx.y);
  const int kv_head = head / (shape.heads / shape.kv_heads);
  const std::size_t first_token = static_cast<std::size_t>(blockIdx.z) * shape.length;
  // The longest rows first, so that the last blocks are short.
  const int query_tile = static_cast<int>(gridDim.x - 1 - blockIdx.x);
  const int row = query_tile * tile + warp * 16 + group;  // and row + 8
  const std::size_t k_stride = static_cast<std::size_t>(shape.kv_heads) * QkDim;
  const std::size_t v_stride = static_cast<std::size_t>(shape.kv_heads) * VDim;
  const __nv_bfloat16* keys =
      k + first_token * k_stride + static_cast<std::size_t>(kv_head) * QkDim;
  const __nv_bfloat16* values =
      v + first_token * v_stride + static_cast<std::size_t>(kv_head) * VDim;

  std::uint32_t queries[QkDim / 16][4];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int token = min(row + 8 * half, shape.length - 1);
    const __nv_bfloat16* from = q + ((first_token + token) * shape.heads + head) * QkDim + 2 * quad;
#pragma unroll
    for (int d = 0; d < QkDim / 16; ++d) {
      queries[d][half] = word_at(from + 16 * d);
      queries[d][half + 2] = word_at(from + 16 * d + 8);
    }
  }

  const auto load = [&](int key_tile) {
    Stage<QkDim, VDim>& stage = stages[key_tile % 2];
    const int rows = shape.length - key_tile * tile;
    load_tile<QkDim>(stage.k, keys + static_cast<std::size_t>(key_tile) * tile * k_stride, k_stride,
                     rows);
    load_tile<VDim>(stage.v, values + static_cast<std::size_t>(key_tile) * tile * v_stride,
                    v_stride, rows);
    commit_copies();
  };
  load(0);
  Rows rows;
  float result[VDim / 8][4] = {};
  for (int key_tile = 0; key_tile <= query_tile; ++key_tile) {
    if (key_tile < query_tile) {
      load(key_tile + 1);
      wait_for_copies<1>();
    } else {
      wait_for_copies<0>();
    }
    __syncthreads();
    const Stage<QkDim, VDim>& stage = stages[key_tile % 2];
    float s[key_fragments][4] = {};
#pragma unroll
    for (int d = 0; d < QkDim / 16; ++d) {
#pragma unroll
      for (int n = 0; n < key_fragments; ++n) {
        const __nv_bfloat16* at = &stage.k[8 * n + group][16 * d + 2 * quad];
        mma_bf16(s[n], queries[d], word_at(at), word_at(at + 8));
      }
    }
    // Keys beyond the sequence come after every query of it, so that causality hides them too.
#pragma unroll
    for (int n = 0; n < key_fragments; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int key = key_tile * tile + 8 * n + 2 * quad + i % 2;
        s[n][i] = key <= row + 8 * (i / 2) ? s[n][i] * scale : -INFINITY;
      }
    }
    float shrink[2];
    softmax_step(s, rows, shrink);
#pragma unroll
    for (int n = 0; n < VDim / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        result[n][i] *= shrink[i / 2];
      }
    }
    // Two neighbouring fragments of scores are one operand A of the second product.
#pragma unroll
    for (int step = 0; step < tile / 16; ++step) {
      const float(&low)[4] = s[2 * step];
      const float(&high)[4] = s[2 * step + 1];
      const std::uint32_t weights[4] = {packed(low[0], low[1]), packed(low[2], low[3]),
                                        packed(high[0], high[1]), packed(high[2], high[3])};
#pragma unroll
      for (int n = 0; n < VDim / 8; ++n) {
        std::uint32_t b0 = 0;
        std::uint32_t b1 = 0;
        load_transposed(b0, b1, &stage.v[16 * step + lane % 16][8 * n]);
        mma_bf16(result[n], weights, b0, b1);
      }
    }
    __syncthreads();  // before the next but one tile overwrites this one
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = rows.sum[half];
    sum += __shfl_xor_sync(~0U, sum, 1);
    sum += __shfl_xor_sync(~0U, sum, 2);
    const int token = row + 8 * half;
    if (token < shape.length) {
      __nv_bfloat16* to = out + ((first_token + token) * shape.heads + head) * VDim + 2 * quad;
#pragma unroll
      for (int n = 0; n < VDim / 8; ++n) {
        *reinterpret_cast<std::uint32_t*>(to + 8 * n) =
            packed(result[n][2 * half] / sum, result[n][2 * half + 1] / sum);
      }
    }
  }
}

template <int QkDim, int VDim>
void launch(const PrefillShape& shape, const void* q, const void* k, const void* v, void* out,
            cudaStream_t stream) {
  constexpr int shared = 2 * sizeof(Stage<QkDim, VDim>);
  allow_shared_memory(reinterpret_cast<const void*>(prefill_kernel<QkDim, VDim>), shared);
  const dim3 grid(static_cast<unsigned>((shape.length + tile - 1) / tile),
                  static_cast<unsigned>(shape.heads), static_cast<unsigned>(shape.batch));
  const float scale = log2_e / sqrtf(static_cast<float>(QkDim));
  prefill_kernel<QkDim, VDim><<<grid, threads, shared, stream>>>(
      static_cast<const __nv_bfloat16*>(q), static_cast<const __nv_bfloat16*>(k),
      static_cast<const __nv_bfloat16*>(v), static_cast<__nv_bfloat16*>(out), shape, scale);
  MOESIM_CHECK(cudaGetLastError());
}

}  // namespace

void prefill_attention(const PrefillShape& shape, const void* q, const void* k, const void* v,
                       void* out, cudaStream_t stream) {
  if (shape.qk_dim == 64 && shape.v_dim == 64) {
    launch<64, 64>(shape, q, k, v, out, stream);
  } else if (shape.qk_dim == 128 && shape.v_dim == 128) {
    launch<128, 128>(shape, q, k, v, out, stream);
  } else if (shape.qk_dim == 192 && shape.v_dim == 128) {
    launch<192, 128>(shape, q, k, v, out, stream);
  } else {
    throw Unsupported("prefill attention with heads of " + std::to_string(shape.qk_dim));
  }
}

}  // namespace moesim::bench
