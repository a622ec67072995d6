// Grouped products of 8-bit operands, which cuBLAS does not offer: an own, simple tensor-core
// kernel (mma.sync, 64 x 128 tiles, three stages of asynchronous copies). It is no rival of the
// engines' kernels: on Hopper and Blackwell mma.sync reaches a part of the peak only.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

#include "calibrate/cuda/host/bench_case.h"

namespace moesim::bench {

// Up to 64 rows of one expert.
struct RowTile {
  std::int32_t expert;
  std::int32_t first_row;
  std::int32_t rows;
};
// Covers rows that lie behind each other by expert.
std::vector<RowTile> row_tiles(const std::vector<std::int64_t>& counts);

struct GroupedGemm {
  Format format = Format::fp8;  // fp8, fp8_block or int8
  int n = 0;
  int k = 0;                        // a multiple of 64
  const void* x = nullptr;          // [rows][k]
  const void* w = nullptr;          // [experts][n][k]
  void* out = nullptr;              // [rows][n], bf16
  float scale = 1;                  // of the whole product; not for fp8_block
  const float* x_scales = nullptr;  // fp8_block: [rows][x_scale_stride], ceil(k / 128) used
  int x_scale_stride = 0;
  const float* w_scales = nullptr;  // fp8_block: [experts][ceil(n / 128)][ceil(k / 128)]
};
// `tiles`: on the device. Throws Unsupported for other formats; the caller sees to it that the
// device has compute capability 9.0 for fp8 (the code that older ones load traps).
void grouped_gemm(const GroupedGemm& gemm, const RowTile* tiles, int tile_count,
                  cudaStream_t stream);

}  // namespace moesim::bench
