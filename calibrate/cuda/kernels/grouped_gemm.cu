#include "calibrate/cuda/kernels/grouped_gemm.h"

#include <algorithm>
#include <type_traits>

#include "calibrate/cuda/device/check.h"
#include "calibrate/cuda/host/session.h"
#include "calibrate/cuda/kernels/device_math.cuh"

namespace moesim::bench {
namespace {

constexpr int tile_rows = 64;
constexpr int tile_columns = 128;
constexpr int tile_k = 64;  // bytes
constexpr int stages = 3;
// 16 bytes of padding bring the eight rows of a fragment into different banks.
constexpr int stride = tile_k + 16;
constexpr int threads = 256;
constexpr int scale_block = 128;
// Eight warps: 2 along the rows, 4 along the columns, 32 x 32 results each.
constexpr int warp_columns = 4;
constexpr int row_fragments = 2;
constexpr int column_fragments = 4;

struct Int8 {
  using Sum = int;
};
struct E4m3 {
  using Sum = float;
};

struct Tiles {
  std::int8_t x[stages][tile_rows][stride];
  std::int8_t w[stages][tile_columns][stride];
};

// 16-byte chunks of one tile_k of both operands; rows beyond the tile are zeros.
__device__ void load_stage(Tiles& shared, int stage, const std::int8_t* x, const std::int8_t* w,
                           int rows, int columns, int k, int k_first) {
  constexpr int chunks = tile_k / 16;
  for (int i = static_cast<int>(threadIdx.x); i < (tile_rows + tile_columns) * chunks;
       i += threads) {
    const int line = i / chunks;
    const int at = i % chunks * 16;
    const bool is_x = line < tile_rows;
    const int row = is_x ? line : line - tile_rows;
    const bool valid = row < (is_x ? rows : columns);
    const std::int8_t* base = is_x ? x : w;
    // Invalid rows read nothing, but their address must be one that could be read.
    const std::int8_t* from = base + static_cast<std::size_t>(valid ? row : 0) * k + k_first + at;
    copy_async(is_x ? &shared.x[stage][row][at] : &shared.w[stage][row][at], from, valid);
  }
}

template <class Sum>
using Sums = Sum[row_fragments][column_fragments][4];

template <class Sum>
__device__ void multiply_stage(const Tiles& shared, int stage, int first_row, int first_column,
                               Sums<Sum>& sums) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const int group = lane / 4;
  const int quad = lane % 4;
#pragma unroll
  for (int k = 0; k < tile_k; k += 32) {
    std::uint32_t a[row_fragments][4];
#pragma unroll
    for (int r = 0; r < row_fragments; ++r) {
      const int row = first_row + 16 * r + group;
      a[r][0] = word_at(&shared.x[stage][row][k + 4 * quad]);
      a[r][1] = word_at(&shared.x[stage][row + 8][k + 4 * quad]);
      a[r][2] = word_at(&shared.x[stage][row][k + 4 * quad + 16]);
      a[r][3] = word_at(&shared.x[stage][row + 8][k + 4 * quad + 16]);
    }
#pragma unroll
    for (int c = 0; c < column_fragments; ++c) {
      const int column = first_column + 8 * c + group;
      const std::uint32_t b0 = word_at(&shared.w[stage][column][k + 4 * quad]);
      const std::uint32_t b1 = word_at(&shared.w[stage][column][k + 4 * quad + 16]);
#pragma unroll
      for (int r = 0; r < row_fragments; ++r) {
        mma_8bit(sums[r][c], a[r], b0, b1);
      }
    }
  }
}

// total += scale of the rows * scale of the columns * part; part = 0. All columns of a block lie in
// one 128-block of w, since that is the tile's width.
__device__ void add_scaled(Sums<float>& total, Sums<float>& part, const float* x_scales,
                           float w_scale, int scale_stride, int first_row, int rows) {
  const int group = static_cast<int>(threadIdx.x) % warp_size / 4;
#pragma unroll
  for (int r = 0; r < row_fragments; ++r) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = min(first_row + 16 * r + 8 * half + group, rows - 1);
      const float scale = w_scale * x_scales[static_cast<std::size_t>(row) * scale_stride];
#pragma unroll
      for (int c = 0; c < column_fragments; ++c) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          total[r][c][i] += scale * part[r][c][i];
          part[r][c][i] = 0;
        }
      }
    }
  }
}

template <class Kind, bool block_scales>
__global__ __launch_bounds__(threads) void grouped_kernel(GroupedGemm gemm, const RowTile* tiles) {
  using Sum = typename Kind::Sum;
  __shared__ __align__(16) Tiles shared;
  const RowTile tile = tiles[blockIdx.x];
  const int first_n = static_cast<int>(blockIdx.y) * tile_columns;
  const int columns = min(gemm.n - first_n, tile_columns);
  const std::size_t k = static_cast<std::size_t>(gemm.k);
  const auto* x = static_cast<const std::int8_t*>(gemm.x) + tile.first_row * k;
  const auto* w = static_cast<const std::int8_t*>(gemm.w) +
                  (static_cast<std::size_t>(tile.expert) * gemm.n + first_n) * k;
  const int warp = static_cast<int>(threadIdx.x) / warp_size;
  const int first_row = warp / warp_columns * 16 * row_fragments;
  const int first_column = warp % warp_columns * 8 * column_fragments;
  const int scale_columns = (gemm.k + scale_block - 1) / scale_block;
  const int steps = gemm.k / tile_k;
  for (int s = 0; s < stages - 1; ++s) {
    if (s < steps) {
      load_stage(shared, s, x, w, tile.rows, columns, gemm.k, s * tile_k);
    }
    commit_copies();
  }
  Sums<Sum> sums = {};
  [[maybe_unused]] Sums<float> total = {};
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<stages - 2>();
    __syncthreads();  // this step's tiles are there; the stage refilled next is no longer read
    const int ahead = step + stages - 1;
    if (ahead < steps) {
      load_stage(shared, ahead % stages, x, w, tile.rows, columns, gemm.k, ahead * tile_k);
    }
    commit_copies();
    multiply_stage<Sum>(shared, step % stages, first_row, first_column, sums);
    if constexpr (block_scales) {
      if ((step + 1) * tile_k % scale_block == 0 || step + 1 == steps) {
        const int at = step * tile_k / scale_block;
        const int n_blocks = (gemm.n + tile_columns - 1) / tile_columns;
        const float w_scale =
            gemm.w_scales[(static_cast<std::size_t>(tile.expert) * n_blocks + blockIdx.y) *
                              scale_columns +
                          at];
        const float* x_scales =
            gemm.x_scales + static_cast<std::size_t>(tile.first_row) * gemm.x_scale_stride + at;
        add_scaled(total, sums, x_scales, w_scale, gemm.x_scale_stride, first_row, tile.rows);
      }
    }
  }
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  auto* out = static_cast<__nv_bfloat16*>(gemm.out);
#pragma unroll
  for (int r = 0; r < row_fragments; ++r) {
#pragma unroll
    for (int c = 0; c < column_fragments; ++c) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = first_row + 16 * r + 8 * half + lane / 4;
        const int column = first_column + 8 * c + 2 * (lane % 4);
        if (row < tile.rows && column < columns) {
          float low = 0;
          float high = 0;
          if constexpr (block_scales) {
            low = total[r][c][2 * half];
            high = total[r][c][2 * half + 1];
          } else {
            low = gemm.scale * static_cast<float>(sums[r][c][2 * half]);
            high = gemm.scale * static_cast<float>(sums[r][c][2 * half + 1]);
          }
          const std::size_t at =
              (static_cast<std::size_t>(tile.first_row) + row) * gemm.n + first_n + column;
          *reinterpret_cast<std::uint32_t*>(out + at) = packed(low, high);
        }
      }
    }
  }
}

}  // namespace

std::vector<RowTile> row_tiles(const std::vector<std::int64_t>& counts) {
  std::vector<RowTile> tiles;
  std::int64_t first = 0;
  for (std::size_t expert = 0; expert < counts.size(); ++expert) {
    for (std::int64_t row = 0; row < counts[expert]; row += tile_rows) {
      tiles.push_back(
          {static_cast<std::int32_t>(expert), static_cast<std::int32_t>(first + row),
           static_cast<std::int32_t>(std::min<std::int64_t>(tile_rows, counts[expert] - row))});
    }
    first += counts[expert];
  }
  return tiles;
}

void grouped_gemm(const GroupedGemm& gemm, const RowTile* tiles, int tile_count,
                  cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(tile_count),
                  static_cast<unsigned>((gemm.n + tile_columns - 1) / tile_columns));
  if (gemm.format == Format::fp8) {
    grouped_kernel<E4m3, false><<<grid, threads, 0, stream>>>(gemm, tiles);
  } else if (gemm.format == Format::fp8_block) {
    grouped_kernel<E4m3, true><<<grid, threads, 0, stream>>>(gemm, tiles);
  } else if (gemm.format == Format::int8) {
    grouped_kernel<Int8, false><<<grid, threads, 0, stream>>>(gemm, tiles);
  } else {
    throw Unsupported("the own grouped kernel multiplies 8-bit formats only");
  }
  MOESIM_CHECK(cudaGetLastError());
}

}  // namespace moesim::bench
