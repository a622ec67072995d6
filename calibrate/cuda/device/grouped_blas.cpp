#include "calibrate/cuda/device/grouped_blas.h"

#include <cmath>

#include "calibrate/cuda/device/check_libraries.h"

namespace moesim::bench {

BlasHandle::BlasHandle(cudaStream_t stream) {
  MOESIM_CHECK(cublasCreate(&handle_));
  MOESIM_CHECK(cublasSetStream(handle_, stream));
}

BlasHandle::~BlasHandle() { static_cast<void>(cublasDestroy(handle_)); }

GroupedBlas::GroupedBlas(const GroupedOperands& operands, const std::vector<std::int64_t>& counts)
    : type_(operands.format == Format::float16 ? CUDA_R_16F : CUDA_R_16BF) {
  const auto n = static_cast<std::size_t>(operands.n);
  const auto k = static_cast<std::size_t>(operands.k);
  const auto bytes = static_cast<std::size_t>(value_bytes(operands.format));
  std::vector<const void*> x;
  std::vector<const void*> w;
  std::vector<void*> out;
  std::size_t row = 0;
  for (std::size_t expert = 0; expert < counts.size(); ++expert) {
    if (counts[expert] == 0) {
      continue;
    }
    x.push_back(static_cast<const std::byte*>(operands.x) + row * k * bytes);
    w.push_back(static_cast<const std::byte*>(operands.w) + expert * n * k * bytes);
    out.push_back(static_cast<std::byte*>(operands.out) + row * n * bytes);
    rows_.push_back(static_cast<int>(counts[expert]));
    row += static_cast<std::size_t>(counts[expert]);
  }
  const std::size_t groups = rows_.size();
  transpose_w_.assign(groups, CUBLAS_OP_T);
  keep_x_.assign(groups, CUBLAS_OP_N);
  n_.assign(groups, operands.n);
  k_.assign(groups, operands.k);
  one_each_.assign(groups, 1);
  // Uniform operands in [-1, 1) give results of variance 1.
  scale_.assign(groups, 3 / std::sqrt(static_cast<float>(operands.k)));
  zero_.assign(groups, 0);
  x_ = uploaded(std::span<const void* const>(x));
  w_ = uploaded(std::span<const void* const>(w));
  out_ = uploaded(std::span<void* const>(out));
}

// Column-first, the row-major operands are transposed: out^T = w x^T.
void GroupedBlas::run(const BlasHandle& handle) const {
  const cublasStatus_t status = cublasGemmGroupedBatchedEx(
      handle.get(), transpose_w_.data(), keep_x_.data(), n_.data(), rows_.data(), k_.data(),
      scale_.data(), w_.set<const void*>(0), type_, k_.data(), x_.set<const void*>(0), type_,
      k_.data(), zero_.data(), out_.set<void*>(0), type_, n_.data(), static_cast<int>(rows_.size()),
      one_each_.data(), CUBLAS_COMPUTE_32F);
  check_offered(status, "grouped product");
  check(status, "cublasGemmGroupedBatchedEx", __FILE__, __LINE__);
}

}  // namespace moesim::bench
