#include "calibrate/cuda/device/lt_matmul.h"

#include <array>
#include <type_traits>

#include "calibrate/cuda/device/check_libraries.h"
#include "calibrate/cuda/host/session.h"
#include "calibrate/cuda/kernels/fill.h"

namespace moesim::bench {
namespace {

// What cuBLAS recommends from Hopper on.
constexpr std::size_t workspace_bytes = std::size_t{32} << 20;
constexpr std::int64_t block = 128;

template <auto destroy>
struct Destroy {
  template <class T>
  void operator()(T* handle) const {
    static_cast<void>(destroy(handle));
  }
};
template <class Handle, auto destroy>
using Owner = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy<destroy>>;

struct Types {
  cudaDataType_t in;
  cudaDataType_t out;
  cublasComputeType_t compute;
  cudaDataType_t scale;
};

Types types_of(Format format) {
  switch (format) {
    case Format::float32:
      return {CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F, CUDA_R_32F};
    case Format::tf32:
      return {CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F};
    case Format::float16:
      return {CUDA_R_16F, CUDA_R_16F, CUBLAS_COMPUTE_32F, CUDA_R_32F};
    case Format::bfloat16:
      return {CUDA_R_16BF, CUDA_R_16BF, CUBLAS_COMPUTE_32F, CUDA_R_32F};
    case Format::fp8:
    case Format::fp8_block:
      return {CUDA_R_8F_E4M3, CUDA_R_16BF, CUBLAS_COMPUTE_32F, CUDA_R_32F};
    case Format::int8:
      return {CUDA_R_8I, CUDA_R_32I, CUBLAS_COMPUTE_32I, CUDA_R_32I};
  }
  throw Unsupported("number format without a product");
}

std::int64_t blocks_of(std::int64_t size) { return (size + block - 1) / block; }

}  // namespace

struct LtMatmul::Plan {
  Owner<cublasLtHandle_t, cublasLtDestroy> handle;
  Owner<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> operation;
  Owner<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy> w;
  Owner<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy> x;
  Owner<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy> out;
  cublasLtMatmulAlgo_t algorithm{};
  RotatingBuffer workspace{workspace_bytes, 1};
  RotatingBuffer w_scales;
  RotatingBuffer x_scales;
  bool whole_numbers = false;

  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) const {
    MOESIM_CHECK(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof value));
  }
  void describe(const GemmCase& gemm);
  void scale(const GemmCase& gemm, cudaStream_t stream);
  void choose(Format format);
};

// cuBLAS counts columns first, so that row-major x[m, k] is its k x m matrix: out^T = w x^T with w
// transposed, the only arrangement that 8-bit formats have on every architecture.
void LtMatmul::Plan::describe(const GemmCase& gemm) {
  const Types types = types_of(gemm.format);
  whole_numbers = types.scale == CUDA_R_32I;
  cublasLtHandle_t new_handle = nullptr;
  MOESIM_CHECK(cublasLtCreate(&new_handle));
  handle.reset(new_handle);
  cublasLtMatmulDesc_t new_operation = nullptr;
  MOESIM_CHECK(cublasLtMatmulDescCreate(&new_operation, types.compute, types.scale));
  operation.reset(new_operation);
  set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  set(CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
  const auto layout = [](cudaDataType_t type, std::int64_t rows, std::int64_t columns) {
    cublasLtMatrixLayout_t made = nullptr;
    MOESIM_CHECK(cublasLtMatrixLayoutCreate(&made, type, static_cast<std::uint64_t>(rows),
                                            static_cast<std::uint64_t>(columns), rows));
    return made;
  };
  w.reset(layout(types.in, gemm.k, gemm.n));
  x.reset(layout(types.in, gemm.k, gemm.m));
  out.reset(layout(types.out, gemm.n, gemm.m));
}

void LtMatmul::Plan::scale(const GemmCase& gemm, cudaStream_t stream) {
  std::size_t w_count = 1;
  std::size_t x_count = 1;
  if (gemm.format == Format::fp8_block) {
    set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE,
        static_cast<std::int32_t>(CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F));
    set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE,
        static_cast<std::int32_t>(CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F));
    // The 128x128 grid is stored with its k side padded to four; one value everywhere makes the
    // order immaterial.
    w_count = static_cast<std::size_t>((blocks_of(gemm.k) + 3) / 4 * 4 * blocks_of(gemm.n));
    x_count = static_cast<std::size_t>(blocks_of(gemm.k) * ((gemm.m + 3) / 4 * 4));
  } else {
    const std::int8_t fast = 1;
    set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, fast);
  }
  w_scales = RotatingBuffer(w_count * sizeof(float), 1);
  x_scales = RotatingBuffer(x_count * sizeof(float), 1);
  fill_constant(w_scales.set<float>(0), w_count, 0.5F, stream);
  fill_constant(x_scales.set<float>(0), x_count, 0.25F, stream);
  set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, static_cast<const void*>(w_scales.set(0)));
  set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, static_cast<const void*>(x_scales.set(0)));
}

void LtMatmul::Plan::choose(Format format) {
  cublasLtMatmulPreference_t made = nullptr;
  MOESIM_CHECK(cublasLtMatmulPreferenceCreate(&made));
  const Owner<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference(made);
  MOESIM_CHECK(cublasLtMatmulPreferenceSetAttribute(made, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                    &workspace_bytes, sizeof workspace_bytes));
  std::array<cublasLtMatmulHeuristicResult_t, 1> found{};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle.get(), operation.get(), w.get(), x.get(), out.get(), out.get(), made,
      static_cast<int>(found.size()), found.data(), &count);
  const bool none = status == CUBLAS_STATUS_SUCCESS && count == 0;
  // Scale modes of another architecture are invalid values to it; in other formats an invalid value
  // is a defect of this program.
  const bool no_mode = status == CUBLAS_STATUS_INVALID_VALUE && format == Format::fp8_block;
  check_offered(none || no_mode ? CUBLAS_STATUS_NOT_SUPPORTED : status,
                "product in " + std::string(name_of(format)));
  check(status, "cublasLtMatmulAlgoGetHeuristic", __FILE__, __LINE__);
  algorithm = found[0].algo;
}

LtMatmul::LtMatmul(const GemmCase& gemm, cudaStream_t stream) : plan_(std::make_unique<Plan>()) {
  plan_->describe(gemm);
  if (gemm.format == Format::fp8 || gemm.format == Format::fp8_block) {
    plan_->scale(gemm, stream);
  }
  plan_->choose(gemm.format);
}

LtMatmul::~LtMatmul() = default;

void LtMatmul::run(const void* x, const void* w, void* out, cudaStream_t stream) const {
  const Plan& plan = *plan_;
  const float one = 1;
  const float zero = 0;
  const std::int32_t whole_one = 1;
  const std::int32_t whole_zero = 0;
  const void* alpha = plan.whole_numbers ? static_cast<const void*>(&whole_one) : &one;
  const void* beta = plan.whole_numbers ? static_cast<const void*>(&whole_zero) : &zero;
  const cublasStatus_t status =
      cublasLtMatmul(plan.handle.get(), plan.operation.get(), alpha, w, plan.w.get(), x,
                     plan.x.get(), beta, out, plan.out.get(), out, plan.out.get(), &plan.algorithm,
                     plan.workspace.set(0), workspace_bytes, stream);
  check_offered(status, "product of this shape");
  check(status, "cublasLtMatmul", __FILE__, __LINE__);
}

}  // namespace moesim::bench
