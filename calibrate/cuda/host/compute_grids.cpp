#include "calibrate/cuda/host/compute_grids.h"

#include <array>

#include "sim/core/quantity_text.h"

namespace moesim::bench {
namespace {

using Sizes = std::vector<std::int64_t>;

struct ExpertShape {
  std::int64_t hidden;
  std::int64_t inter;
  std::int64_t top_k;
  std::int64_t experts;
};
// Widths of published models, from few large to many small experts.
constexpr std::array expert_shapes{
    ExpertShape{2048, 768, 8, 128},  ExpertShape{2048, 1408, 6, 64},
    ExpertShape{4096, 14336, 2, 8},  ExpertShape{4096, 1536, 8, 128},
    ExpertShape{5120, 8192, 1, 128}, ExpertShape{7168, 2048, 8, 256}};

struct Ranks {
  std::int64_t tp;
  std::int64_t ep;
};
constexpr std::array rank_grid{Ranks{1, 1}, Ranks{4, 1}, Ranks{1, 8}, Ranks{1, 32}};

const Table& gemm_table() {
  static const Table table{"gemm", {"kernel_source", "gemm_dtype", "m", "n", "k"}};
  return table;
}

const Table& moe_table() {
  static const Table table{"moe",
                           {"kernel_source", "moe_dtype", "num_tokens", "hidden_size", "inter_size",
                            "topk", "num_experts", "moe_tp_size", "moe_ep_size", "distribution"}};
  return table;
}

double number(std::int64_t value) { return static_cast<double>(value); }

bool is_wide(Format format) { return value_bytes(format) > 2 || format == Format::int8; }

}  // namespace

Bytes operand_bytes(const GemmCase& gemm) {
  const double in = value_bytes(gemm.format);
  const double out = is_wide(gemm.format) ? 4 : 2;
  return Bytes(number(gemm.m) * number(gemm.k) * in + number(gemm.n) * number(gemm.k) * in +
               number(gemm.m) * number(gemm.n) * out);
}

std::vector<GemmCase> gemm_grid(bool quick) {
  const Sizes ms = quick ? Sizes{1, 64, 1024} : Sizes{1,   2,   4,    8,    16,   32,   64,   128,
                                                      256, 512, 1024, 2048, 4096, 8192, 16384};
  const Sizes ns =
      quick ? Sizes{1024, 4096} : Sizes{256, 512, 1024, 2048, 4096, 7168, 8192, 16384, 24576};
  const Sizes ks = quick ? Sizes{2048} : Sizes{256, 512, 1024, 2048, 4096, 7168, 8192, 16384};
  std::vector<GemmCase> grid;
  for (const Format format : {Format::bfloat16, Format::float16, Format::fp8, Format::fp8_block,
                              Format::int8, Format::tf32, Format::float32}) {
    for (const std::int64_t n : ns) {
      for (const std::int64_t k : ks) {
        for (const std::int64_t m : ms) {
          grid.push_back({format, m, n, k});
        }
      }
    }
  }
  return grid;
}

PlannedCase planned(const GemmCase& gemm) {
  return {&gemm_table(),
          {"cublasLt", std::string(name_of(gemm.format)), text(gemm.m), text(gemm.n), text(gemm.k)},
          operand_bytes(gemm) + rotation_reserve};
}

std::string distribution_name(double exponent) {
  return exponent <= 0 ? "balanced" : "power_law_" + format_number(exponent);
}

std::vector<MoeCase> moe_grid(bool quick) {
  const Sizes tokens =
      quick ? Sizes{16, 1024} : Sizes{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384};
  std::vector<MoeCase> grid;
  for (const Format format :
       {Format::bfloat16, Format::float16, Format::fp8, Format::fp8_block, Format::int8}) {
    for (const ExpertShape& shape : expert_shapes) {
      for (const Ranks& ranks : rank_grid) {
        // The kernels want widths of whole 64-byte chunks.
        if (shape.experts % ranks.ep != 0 || shape.inter % (64 * ranks.tp) != 0 ||
            (quick && (shape.hidden != 2048 || ranks.tp * ranks.ep != 8))) {
          continue;
        }
        for (const double exponent : {0.0, 1.01, 1.2}) {
          for (const std::int64_t count : tokens) {
            grid.push_back({format, count, shape.hidden, shape.inter, shape.top_k, shape.experts,
                            ranks.tp, ranks.ep, exponent});
          }
        }
      }
    }
  }
  return grid;
}

PlannedCase planned(const MoeCase& moe) {
  const double in = value_bytes(moe.format);
  const double width = number(moe.inter / moe.tp);
  const double weights = 3 * number(moe.experts / moe.ep) * number(moe.hidden) * width * in;
  // An upper bound: every pair is this rank's. Per pair the permuted token, the two projections,
  // the activation (bf16 and quantised) and the result.
  const double pairs = number(moe.tokens) * number(moe.top_k);
  const double per_pair = number(moe.hidden) * (in + 2) + width * (4 + in) + 64;
  const double tokens = number(moe.tokens) * number(moe.hidden) * (in + 2);
  const bool own = value_bytes(moe.format) < 2;
  return {&moe_table(),
          {own ? "moesim_grouped_mma" : "cublas_grouped", std::string(name_of(moe.format)),
           text(moe.tokens), text(moe.hidden), text(moe.inter), text(moe.top_k), text(moe.experts),
           text(moe.tp), text(moe.ep), distribution_name(moe.exponent)},
          Bytes(weights + pairs * per_pair + tokens) + rotation_reserve};
}

}  // namespace moesim::bench
