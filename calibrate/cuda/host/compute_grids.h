// The cases of the matrix products: dense and by experts.
#pragma once

#include <vector>

#include "calibrate/cuda/host/bench_case.h"

namespace moesim::bench {

// Set aside in every estimate for rotating operands through more than the caches hold.
inline constexpr Bytes rotation_reserve{1024.0 * 1024 * 1024};

// out[m, n] = x[m, k] w[n, k]^T.
struct GemmCase {
  Format format = Format::bfloat16;
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
};
// What a product reads and writes: bf16 results for formats below 32 bits, 32-bit ones otherwise.
Bytes operand_bytes(const GemmCase& gemm);
std::vector<GemmCase> gemm_grid(bool quick);
PlannedCase planned(const GemmCase& gemm);

// One expert-parallel rank's share of an expert layer: permute, gate and up projection, SwiGLU,
// down projection, weighted sum. `tokens` are those of all ranks together.
struct MoeCase {
  Format format = Format::bfloat16;
  std::int64_t tokens = 0;
  std::int64_t hidden = 0;
  std::int64_t inter = 0;  // of the whole expert; a rank has inter/tp
  std::int64_t top_k = 0;
  std::int64_t experts = 0;
  std::int64_t tp = 1;
  std::int64_t ep = 1;
  double exponent = 0;  // 0: balanced, else of the power law
};
// "balanced", "power_law_1.2"
std::string distribution_name(double exponent);
std::vector<MoeCase> moe_grid(bool quick);
PlannedCase planned(const MoeCase& moe);

}  // namespace moesim::bench
