// The cases of the small kernels, of launches, and of kernels that share the device.
#pragma once

#include <vector>

#include "calibrate/cuda/host/bench_case.h"
#include "calibrate/cuda/host/compute_grids.h"

namespace moesim::bench {

// Permute copies the bf16 tokens behind each other by expert (one rank, balanced); unpermute adds
// the weighted results up by token.
struct PermuteCase {
  bool unpermute = false;
  std::int64_t tokens = 0;
  std::int64_t hidden = 0;
  std::int64_t top_k = 0;
  std::int64_t experts = 0;
};
std::vector<PermuteCase> permute_grid(bool quick);
PlannedCase planned(const PermuteCase& permute);

// Softmax over fp32 logits, then the k largest, normalised.
struct GateCase {
  std::int64_t tokens = 0;
  std::int64_t experts = 0;
  std::int64_t top_k = 0;
};
std::vector<GateCase> gate_grid(bool quick);
PlannedCase planned(const GateCase& gate);

struct NormCase {
  bool softmax = false;  // else RMS norm
  std::int64_t rows = 0;
  std::int64_t width = 0;
};
std::vector<NormCase> norm_grid(bool quick);
PlannedCase planned(const NormCase& norm);

// Formats of m x k values. To fp8: one pass with a given scale, or one more pass to find it first
// (the published tables' scale_matrix and computescale). To bf16: fp8 in 128x128 blocks, int4 in
// groups of 128.
enum class Conversion { scale_to_fp8, find_scale_to_fp8, fp8_to_bf16, int4_to_bf16 };
struct ConvertCase {
  Conversion conversion = Conversion::scale_to_fp8;
  std::int64_t m = 0;
  std::int64_t k = 0;
};
std::vector<ConvertCase> convert_grid(bool quick);
PlannedCase planned(const ConvertCase& convert);

// Time per empty kernel, launched one by one or `kernels` of them as one graph.
struct LaunchCase {
  bool graph = false;
  std::int64_t kernels = 1;
};
std::vector<LaunchCase> launch_grid(bool quick);
PlannedCase planned(const LaunchCase& launch);

// One kind of work, timed while another keeps the device busy. The slowdown of `timed` is its row
// with `other` over its row with `none`.
enum class Work { none, gemm, copy_in, copy_out, copy_within, all_reduce };
struct SharingCase {
  Work timed = Work::gemm;
  Work other = Work::none;
  GemmCase gemm;
  std::int64_t bytes = 0;  // of a copy or an all-reduce
};
std::vector<SharingCase> sharing_grid(bool quick);
PlannedCase planned(const SharingCase& sharing);

}  // namespace moesim::bench
