// Grouped products by cuBLAS: out_e[rows_e, n] = scale * x_e[rows_e, k] w_e[n, k]^T for every
// expert e, in fp16 or bf16 with fp32 sums.
#pragma once

#include <cublas_v2.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "calibrate/cuda/device/resources.h"
#include "calibrate/cuda/host/bench_case.h"

namespace moesim::bench {

class BlasHandle {
 public:
  explicit BlasHandle(cudaStream_t stream);
  ~BlasHandle();
  BlasHandle(const BlasHandle&) = delete;
  BlasHandle& operator=(const BlasHandle&) = delete;
  [[nodiscard]] cublasHandle_t get() const { return handle_; }

 private:
  cublasHandle_t handle_ = nullptr;
};

// The operands of one product; rows and weights lie behind each other by expert.
struct GroupedOperands {
  Format format = Format::bfloat16;
  int n = 0;
  int k = 0;
  const void* x = nullptr;
  const void* w = nullptr;
  void* out = nullptr;
};

class GroupedBlas {
 public:
  // counts: rows of every expert; those without rows take no part.
  GroupedBlas(const GroupedOperands& operands, const std::vector<std::int64_t>& counts);
  void run(const BlasHandle& handle) const;

 private:
  std::vector<cublasOperation_t> transpose_w_;
  std::vector<cublasOperation_t> keep_x_;
  std::vector<int> n_;
  std::vector<int> rows_;
  std::vector<int> k_;
  std::vector<int> one_each_;
  std::vector<float> scale_;
  std::vector<float> zero_;
  cudaDataType_t type_;
  // cuBLAS wants the lists of operands on the device.
  RotatingBuffer x_;
  RotatingBuffer w_;
  RotatingBuffer out_;
};

}  // namespace moesim::bench
