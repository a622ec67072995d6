#include <cuda_fp8.h>

#include <algorithm>
#include <string>
#include <type_traits>

#include "calibrate/cuda/device/check.h"
#include "calibrate/cuda/device/shared_memory.h"
#include "calibrate/cuda/host/session.h"
#include "calibrate/cuda/kernels/attention.h"
#include "calibrate/cuda/kernels/device_math.cuh"

namespace moesim::bench {
namespace {

constexpr int padding = 8;
constexpr int column_warps = 4;  // share the keys of a tile, then the columns of the result
constexpr int row_block = 16;    // heads of one group of warps
constexpr int smallest_split = 128;
constexpr int most_splits = 64;
constexpr float log2_e = 1.4426950408889634F;

// Widths and tiles. Heads that share a cached head are the rows of the products; a latent cache is
// read once for 64 heads.
template <int QkDim_, int VDim_, int RowGroups, int Keys, class Cache_>
struct Config {
  static constexpr int qk_dim = QkDim_;
  static constexpr int v_dim = VDim_;
  static constexpr int rows = RowGroups * row_block;
  static constexpr int keys = Keys;  // of a tile
  static constexpr int threads = RowGroups * column_warps * warp_size;
  static constexpr bool latent = QkDim_ != VDim_;
  using Cache = Cache_;
};

template <class C>
struct Shared {
  __nv_bfloat16 q[C::rows][C::qk_dim + padding];
  __nv_bfloat16 k[2][C::keys][C::qk_dim + padding];
  __nv_bfloat16 v[C::latent ? 1 : 2][C::latent ? 1 : C::keys][C::v_dim + padding];
  float s[C::rows][C::keys + 4];
};

__device__ void store_widened(__nv_bfloat16* to, const __nv_fp8_e4m3* from) {
  const uint2 raw = *reinterpret_cast<const uint2*>(from);
  __nv_fp8x4_e4m3 low;
  __nv_fp8x4_e4m3 high;
  low.__x = raw.x;
  high.__x = raw.y;
  const float4 a = static_cast<float4>(low);
  const float4 b = static_cast<float4>(high);
  const uint4 wide{packed(a.x, a.y), packed(a.z, a.w), packed(b.x, b.y), packed(b.z, b.w)};
  *reinterpret_cast<uint4*>(to) = wide;
}

// Eight values per step; bf16 is copied asynchronously, fp8 is widened on its way.
template <class C, int Dim>
__device__ void load_tile(__nv_bfloat16 (*shared)[Dim + padding], const typename C::Cache* global,
                          std::size_t stride, int rows) {
  constexpr int chunks = Dim / 8;
  for (int i = static_cast<int>(threadIdx.x); i < C::keys * chunks; i += C::threads) {
    const int row = i / chunks;
    const int column = i % chunks * 8;
    const bool valid = row < rows;
    const typename C::Cache* from = global + (valid ? row : 0) * stride + column;
    if constexpr (std::is_same_v<typename C::Cache, __nv_bfloat16>) {
      copy_async(&shared[row][column], from, valid);
    } else if (valid) {
      store_widened(&shared[row][column], from);
    } else {
      *reinterpret_cast<uint4*>(&shared[row][column]) = uint4{0, 0, 0, 0};
    }
  }
}

struct Pointers {
  const __nv_bfloat16* q;
  const void* k;
  const void* v;
  float* partial;  // [batch][heads][splits][v_dim]
  float* largest;  // [batch][heads][splits]
  float* sum;
};

// Scores of this warp's keys for its 16 rows; keys beyond `count` weigh nothing.
template <class C>
__device__ void score_tile(Shared<C>& shared, int stage, int first_row, int column_warp, int count,
                           float scale) {
  constexpr int fragments = C::keys / 8 / column_warps;
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const int group = lane / 4;
  const int quad = lane % 4;
  float s[fragments][4] = {};
#pragma unroll 4
  for (int d = 0; d < C::qk_dim; d += 16) {
    const __nv_bfloat16* q = &shared.q[first_row + group][d + 2 * quad];
    const __nv_bfloat16* q8 = &shared.q[first_row + group + 8][d + 2 * quad];
    const std::uint32_t a[4] = {word_at(q), word_at(q8), word_at(q + 8), word_at(q8 + 8)};
#pragma unroll
    for (int n = 0; n < fragments; ++n) {
      const int key = 8 * (column_warp * fragments + n) + group;
      const __nv_bfloat16* k = &shared.k[stage][key][d + 2 * quad];
      mma_bf16(s[n], a, word_at(k), word_at(k + 8));
    }
  }
#pragma unroll
  for (int n = 0; n < fragments; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int key = 8 * (column_warp * fragments + n) + 2 * quad + i % 2;
      shared.s[first_row + group + 8 * (i / 2)][key] = key < count ? s[n][i] * scale : -INFINITY;
    }
  }
}

// One block: a part of one sequence's cache for up to C::rows heads that share it.
template <class C>
__global__ __launch_bounds__(C::threads) void decode_kernel(Pointers p, DecodeShape shape,
                                                            float scale) {
  extern __shared__ __align__(16) unsigned char memory[];
  Shared<C>& shared = *reinterpret_cast<Shared<C>*>(memory);
  using Cache = typename C::Cache;
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const int group = lane / 4;
  const int quad = lane % 4;
  const int warp = static_cast<int>(threadIdx.x) / warp_size;
  const int first_row = warp / column_warps * row_block;
  const int column_warp = warp % column_warps;
  const int heads_per_key = shape.heads / shape.kv_heads;
  const int blocks_per_key = (heads_per_key + C::rows - 1) / C::rows;
  const int kv_head = static_cast<int>(blockIdx.y) / blocks_per_key;
  const int first_of_group = static_cast<int>(blockIdx.y) % blocks_per_key * C::rows;
  const int heads = min(heads_per_key - first_of_group, C::rows);
  const int first_head = kv_head * heads_per_key + first_of_group;
  const std::size_t batch = blockIdx.z;

  // Whole tiles per split; the last splits may be empty.
  const int tiles = (shape.length + C::keys - 1) / C::keys;
  const int tiles_per_split = (tiles + shape.splits - 1) / shape.splits;
  const int first_key = static_cast<int>(blockIdx.x) * tiles_per_split * C::keys;
  const int last_key = min(first_key + tiles_per_split * C::keys, shape.length);
  const std::size_t k_stride = static_cast<std::size_t>(shape.kv_heads) * C::qk_dim;
  const std::size_t v_stride = static_cast<std::size_t>(shape.kv_heads) * C::v_dim;
  const auto* keys = static_cast<const Cache*>(p.k) + batch * shape.length * k_stride +
                     static_cast<std::size_t>(kv_head) * C::qk_dim;
  const auto* values = static_cast<const Cache*>(p.v) + batch * shape.length * v_stride +
                       static_cast<std::size_t>(kv_head) * C::v_dim;

  for (int i = static_cast<int>(threadIdx.x); i < C::rows * C::qk_dim / 8; i += C::threads) {
    const int row = i / (C::qk_dim / 8);
    const int column = i % (C::qk_dim / 8) * 8;
    const bool valid = row < heads;
    const std::size_t head = batch * shape.heads + first_head + (valid ? row : 0);
    copy_async(&shared.q[row][column], p.q + head * C::qk_dim + column, valid);
  }
  commit_copies();
  const auto load = [&](int key, int stage) {
    const int rows = last_key - key;
    load_tile<C, C::qk_dim>(shared.k[stage], keys + key * k_stride, k_stride, rows);
    if constexpr (!C::latent) {
      load_tile<C, C::v_dim>(shared.v[stage], values + key * v_stride, v_stride, rows);
    }
    commit_copies();
  };

  constexpr int fragments = C::v_dim / 8 / column_warps;
  float result[fragments][4] = {};
  float largest[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0, 0};
  if (first_key < last_key) {
    load(first_key, 0);
  }
  int stage = 0;
  for (int key = first_key; key < last_key; key += C::keys, stage ^= 1) {
    if (key + C::keys < last_key) {
      load(key + C::keys, stage ^ 1);
      wait_for_copies<1>();
    } else {
      wait_for_copies<0>();
    }
    __syncthreads();
    score_tile<C>(shared, stage, first_row, column_warp, last_key - key, scale);
    __syncthreads();
    // Every warp of a row group takes the same maxima and sums; each multiplies its own columns.
    std::uint32_t weights[C::keys / 16][4];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float* row = shared.s[first_row + group + 8 * half] + 2 * quad;
      float now = largest[half];
#pragma unroll
      for (int n = 0; n < C::keys / 8; ++n) {
        now = fmaxf(now, fmaxf(row[8 * n], row[8 * n + 1]));
      }
      now = fmaxf(now, __shfl_xor_sync(~0U, now, 1));
      now = fmaxf(now, __shfl_xor_sync(~0U, now, 2));
      const float shrink = exp2f(largest[half] - now);
      largest[half] = now;
      sum[half] *= shrink;
#pragma unroll
      for (int n = 0; n < fragments; ++n) {
        result[n][2 * half] *= shrink;
        result[n][2 * half + 1] *= shrink;
      }
#pragma unroll
      for (int n = 0; n < C::keys / 8; ++n) {
        const float low = exp2f(row[8 * n] - now);
        const float high = exp2f(row[8 * n + 1] - now);
        sum[half] += low + high;
        weights[n / 2][half + 2 * (n % 2)] = packed(low, high);
      }
    }
#pragma unroll
    for (int step = 0; step < C::keys / 16; ++step) {
#pragma unroll
      for (int n = 0; n < fragments; ++n) {
        const int column = 8 * (column_warp * fragments + n);
        const int from = 16 * step + lane % 16;
        std::uint32_t b0 = 0;
        std::uint32_t b1 = 0;
        if constexpr (C::latent) {
          load_transposed(b0, b1, &shared.k[stage][from][column]);
        } else {
          load_transposed(b0, b1, &shared.v[stage][from][column]);
        }
        mma_bf16(result[n], weights[step], b0, b1);
      }
    }
    __syncthreads();  // before the scores and this stage are overwritten
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first_row + group + 8 * half;
    float total = sum[half];
    total += __shfl_xor_sync(~0U, total, 1);
    total += __shfl_xor_sync(~0U, total, 2);
    if (row < heads) {
      const std::size_t part = (batch * shape.heads + first_head + row) * shape.splits + blockIdx.x;
      if (column_warp == 0 && quad == 0) {
        p.largest[part] = largest[half];
        p.sum[part] = total;
      }
#pragma unroll
      for (int n = 0; n < fragments; ++n) {
        float2* to = reinterpret_cast<float2*>(p.partial + part * C::v_dim +
                                               8 * (column_warp * fragments + n) + 2 * quad);
        *to = float2{result[n][2 * half], result[n][2 * half + 1]};
      }
    }
  }
  wait_for_copies<0>();  // an empty split has only asked for its queries
}

// A block per head: parts with the largest maximum count most.
__global__ void combine_kernel(Pointers p, int splits, int v_dim, __nv_bfloat16* out) {
  const std::size_t head = blockIdx.x;
  float largest = -INFINITY;
  for (int i = 0; i < splits; ++i) {
    largest = fmaxf(largest, p.largest[head * splits + i]);
  }
  for (int column = static_cast<int>(threadIdx.x); column < v_dim;
       column += static_cast<int>(blockDim.x)) {
    float value = 0;
    float sum = 0;
    for (int i = 0; i < splits; ++i) {
      const std::size_t part = head * splits + i;
      const float weight = exp2f(p.largest[part] - largest);
      value += weight * p.partial[part * v_dim + column];
      sum += weight * p.sum[part];
    }
    out[head * v_dim + column] = __float2bfloat16(value / sum);
  }
}

template <class C>
void launch(const DecodeShape& shape, const Pointers& pointers, cudaStream_t stream) {
  constexpr int shared = sizeof(Shared<C>);
  allow_shared_memory(reinterpret_cast<const void*>(decode_kernel<C>), shared);
  const int per_key = shape.heads / shape.kv_heads;
  const dim3 grid(static_cast<unsigned>(shape.splits),
                  static_cast<unsigned>((per_key + C::rows - 1) / C::rows * shape.kv_heads),
                  static_cast<unsigned>(shape.batch));
  // MLA scales by the width of the keys before absorption, 128 + 64.
  const float width = C::latent ? 192 : C::qk_dim;
  decode_kernel<C><<<grid, C::threads, shared, stream>>>(pointers, shape, log2_e / sqrtf(width));
  MOESIM_CHECK(cudaGetLastError());
}

template <class Cache>
void launch_for(const DecodeShape& shape, const Pointers& pointers, cudaStream_t stream) {
  if (shape.qk_dim == 64 && shape.v_dim == 64) {
    launch<Config<64, 64, 1, 64, Cache>>(shape, pointers, stream);
  } else if (shape.qk_dim == 128 && shape.v_dim == 128) {
    launch<Config<128, 128, 1, 64, Cache>>(shape, pointers, stream);
  } else if (shape.qk_dim == 576 && shape.v_dim == 512) {
    launch<Config<576, 512, 4, 32, Cache>>(shape, pointers, stream);
  } else {
    throw Unsupported("decode attention with heads of " + std::to_string(shape.qk_dim));
  }
}

}  // namespace

int decode_splits(const DecodeShape& shape, int multiprocessors) {
  const int rows = shape.qk_dim == shape.v_dim ? row_block : 4 * row_block;
  const int per_key = shape.heads / shape.kv_heads;
  const int blocks = shape.batch * shape.kv_heads * ((per_key + rows - 1) / rows);
  const int wanted = (2 * multiprocessors + blocks - 1) / blocks;
  const int possible = (shape.length + smallest_split - 1) / smallest_split;
  return std::clamp(std::min(wanted, possible), 1, most_splits);
}

std::size_t decode_scratch(const DecodeShape& shape) {
  return static_cast<std::size_t>(shape.batch) * static_cast<std::size_t>(shape.heads) *
         static_cast<std::size_t>(shape.splits) * static_cast<std::size_t>(shape.v_dim + 2);
}

void decode_attention(const DecodeShape& shape, const void* q, const void* k, const void* v,
                      float* scratch, void* out, cudaStream_t stream) {
  const std::size_t parts = static_cast<std::size_t>(shape.batch) *
                            static_cast<std::size_t>(shape.heads) *
                            static_cast<std::size_t>(shape.splits);
  const Pointers pointers{static_cast<const __nv_bfloat16*>(q),
                          k,
                          v,
                          scratch,
                          scratch + parts * static_cast<std::size_t>(shape.v_dim),
                          scratch + parts * static_cast<std::size_t>(shape.v_dim + 1)};
  if (shape.fp8_cache) {
    launch_for<__nv_fp8_e4m3>(shape, pointers, stream);
  } else {
    launch_for<__nv_bfloat16>(shape, pointers, stream);
  }
  constexpr int threads = 128;
  combine_kernel<<<static_cast<unsigned>(shape.batch * shape.heads), threads, 0, stream>>>(
      pointers, shape.splits, shape.v_dim, static_cast<__nv_bfloat16*>(out));
  MOESIM_CHECK(cudaGetLastError());
}

}  // namespace moesim::bench
