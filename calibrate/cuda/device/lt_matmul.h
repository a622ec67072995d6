// out[m, n] = x[m, k] w[n, k]^T by cuBLASLt, with the algorithm that its heuristic ranks first.
#pragma once

#include <cublasLt.h>

#include <memory>

#include "calibrate/cuda/device/resources.h"
#include "calibrate/cuda/host/compute_grids.h"

namespace moesim::bench {

class LtMatmul {
 public:
  // Throws Unsupported when the library offers nothing for the case on this device.
  // Formats: fp8 has one scale per tensor and bf16 results; fp8_block one per 1x128 of x and per
  // 128x128 of w; int8 has 32-bit results.
  explicit LtMatmul(const GemmCase& gemm, cudaStream_t stream);
  ~LtMatmul();
  LtMatmul(const LtMatmul&) = delete;
  LtMatmul& operator=(const LtMatmul&) = delete;

  void run(const void* x, const void* w, void* out, cudaStream_t stream) const;

 private:
  struct Plan;
  std::unique_ptr<Plan> plan_;
};

}  // namespace moesim::bench
