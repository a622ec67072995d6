// Matrix products by shape, format and threads, and decode attention by length.
#include <Eigen/Core>
#include <algorithm>
#include <memory>
#include <vector>

#include "calibrate/cpu/host_kernels.h"
#include "calibrate/cpu/micro_case.h"

namespace moesim::detail {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Rows = Eigen::Map<Matrix>;
using ConstRows = Eigen::Map<const Matrix>;

struct Product {
  std::string_view kernel;
  std::int64_t rows;
  std::int64_t out;
  std::int64_t in;
};

void multiply(const Product& p, const float* x, const float* w, float* block, float* y) {
  if (p.kernel == "gemm_bf16") {
    // Any bits do: the time does not depend on them.
    linear_bf16(x, p.rows, p.in, reinterpret_cast<const std::uint16_t*>(w), p.out, block, y);
  } else if (p.kernel == "gemm_int8") {
    const auto* narrow = reinterpret_cast<const std::int8_t*>(w);
    linear_int8(x, p.rows, p.in, narrow, w + p.out * p.in / 4, p.out, block, y);
  } else if (p.kernel == "gemm_fp32_eigen") {
    Rows(y, p.rows, p.out).noalias() =
        ConstRows(x, p.rows, p.in) * ConstRows(w, p.out, p.in).transpose();
  } else {
    linear(x, p.rows, p.in, w, p.out, y);
  }
}

// Floats that hold the weights of the format.
std::int64_t stored_floats(const Product& p) {
  const std::int64_t weights = p.out * p.in;
  if (p.kernel == "gemm_bf16") {
    return weights / 2;
  }
  return p.kernel == "gemm_int8" ? weights / 4 + weights / k_int8_group : weights;
}

MicroCase product_case(const MicroMachine& machine, int threads, const Product& p,
                       std::int64_t working_set) {
  const std::int64_t stored = stored_floats(p);
  working_set = std::max(working_set, 4 * stored * threads);
  const std::int64_t floats = p.rows * (p.in + p.out) + k_dequantised_rows * p.in;
  auto memory = std::make_shared<std::vector<std::unique_ptr<float[], FreeMemory>>>();
  for (int t = 0; t < threads; ++t) {
    memory->push_back(aligned_floats(static_cast<std::size_t>(floats)));
    std::fill_n(memory->back().get(), floats, 0.5F);
  }
  const auto calls =
      static_cast<int>(std::clamp<std::int64_t>(20'000'000 / (2 * p.rows * p.out * p.in), 1, 64));
  return {{std::string(p.kernel), threads, p.rows, p.out, p.in, working_set, 1},
          cycling(machine, threads, stored, working_set, calls, [=](int rank, const float* w) {
            float* x = (*memory)[static_cast<std::size_t>(rank)].get();
            float* y = x + p.rows * p.in;
            multiply(p, x, w, y + p.rows * p.out, y);
          })};
}

MicroCase attention_case(const MicroMachine& machine, int threads, AttentionShape shape) {
  const std::int64_t cache = 2 * shape.kv_heads * shape.length * shape.head_dim;
  const std::int64_t floats = shape.heads * (2 * shape.head_dim + shape.length);
  auto memory = std::make_shared<std::vector<std::unique_ptr<float[], FreeMemory>>>();
  for (int t = 0; t < threads; ++t) {
    memory->push_back(aligned_floats(static_cast<std::size_t>(floats)));
    std::fill_n(memory->back().get(), floats, 0.01F);
  }
  const std::int64_t working_set = std::int64_t{96} << 20;  // other requests' caches in between
  return {{"attention_decode", threads, shape.length, shape.heads, shape.head_dim, working_set, 1},
          cycling(machine, threads, cache, working_set, 1, [=](int rank, const float* keys) {
            float* query = (*memory)[static_cast<std::size_t>(rank)].get();
            float* out = query + shape.heads * shape.head_dim;
            attention_decode(shape, query, keys, keys + cache / 2,
                             out + shape.heads * shape.head_dim, out);
          })};
}

}  // namespace

std::vector<MicroCase> gemm_cases(const MicroMachine& machine, bool quick) {
  const std::vector<std::int64_t> rows =
      quick ? std::vector<std::int64_t>{1, 32}
            : std::vector<std::int64_t>{1, 2, 4, 8, 16, 32, 64, 128, 256};
  const std::vector<std::pair<std::int64_t, std::int64_t>> shapes =
      quick ? std::vector<std::pair<std::int64_t, std::int64_t>>{{512, 512}}
            : std::vector<std::pair<std::int64_t, std::int64_t>>{
                  {512, 512}, {1024, 1024}, {2048, 1024}, {4096, 2048}};
  std::vector<MicroCase> cases;
  for (const std::string_view kernel : {"gemm_fp32", "gemm_bf16", "gemm_int8", "gemm_fp32_eigen"}) {
    for (const auto& [out, in] : shapes) {
      for (const std::int64_t count : rows) {
        for (int threads = 1; threads <= machine.team.size(); threads *= 2) {
          for (const std::int64_t set : {std::int64_t{0}, std::int64_t{96} << 20}) {
            cases.push_back(product_case(machine, threads, {kernel, count, out, in}, set));
          }
        }
      }
    }
  }
  return cases;
}

std::vector<MicroCase> attention_cases(const MicroMachine& machine, bool quick) {
  const std::vector<std::int64_t> lengths =
      quick ? std::vector<std::int64_t>{128, 2048}
            : std::vector<std::int64_t>{128, 256, 512, 1024, 2048, 4096, 8192, 16384};
  std::vector<MicroCase> cases;
  for (const std::int64_t kv_heads : {2, 8}) {
    for (const std::int64_t length : lengths) {
      for (int threads = 1; threads <= machine.team.size(); threads *= 2) {
        cases.push_back(attention_case(machine, threads, {16, kv_heads, 64, length}));
      }
    }
  }
  return cases;
}

}  // namespace moesim::detail
