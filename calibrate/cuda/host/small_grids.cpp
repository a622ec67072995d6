#include "calibrate/cuda/host/small_grids.h"

#include <array>

namespace moesim::bench {
namespace {

using Sizes = std::vector<std::int64_t>;

double number(std::int64_t value) { return static_cast<double>(value); }

Sizes token_counts(bool quick) {
  return quick ? Sizes{64, 4096}
               : Sizes{1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
}

Bytes with_reserve(double bytes) { return Bytes(bytes) + rotation_reserve; }

constexpr std::array<std::string_view, 4> conversion_names{"scale_matrix", "computescale",
                                                           "fp8_to_bf16", "int4_to_bf16"};
constexpr std::array<std::string_view, 6> work_names{"none", "gemm", "h2d",
                                                     "d2h",  "d2d",  "all_reduce"};

}  // namespace

std::vector<PermuteCase> permute_grid(bool quick) {
  struct Shape {
    std::int64_t hidden;
    std::int64_t top_k;
    std::int64_t experts;
  };
  constexpr std::array shapes{Shape{2048, 8, 128}, Shape{4096, 2, 8}, Shape{7168, 8, 256}};
  std::vector<PermuteCase> grid;
  for (const bool unpermute : {false, true}) {
    for (const Shape& shape : shapes) {
      for (const std::int64_t tokens : token_counts(quick)) {
        grid.push_back({unpermute, tokens, shape.hidden, shape.top_k, shape.experts});
      }
    }
  }
  return grid;
}

PlannedCase planned(const PermuteCase& c) {
  static const Table table{
      "permute",
      {"op_name", "kernel_source", "dtype", "num_tokens", "hidden_size", "topk", "num_experts"}};
  return {&table,
          {c.unpermute ? "unpermute" : "permute", "moesim", "bfloat16", text(c.tokens),
           text(c.hidden), text(c.top_k), text(c.experts)},
          with_reserve(number(c.tokens) * number(c.hidden) * 2 * number(c.top_k + 1))};
}

std::vector<GateCase> gate_grid(bool quick) {
  struct Shape {
    std::int64_t experts;
    std::int64_t top_k;
  };
  constexpr std::array shapes{Shape{8, 2}, Shape{64, 6}, Shape{128, 8}, Shape{256, 8}};
  std::vector<GateCase> grid;
  for (const Shape& shape : shapes) {
    for (const std::int64_t tokens : token_counts(quick)) {
      grid.push_back({tokens, shape.experts, shape.top_k});
    }
  }
  return grid;
}

PlannedCase planned(const GateCase& c) {
  static const Table table{"router_gate", {"kernel_source", "num_tokens", "num_experts", "topk"}};
  return {&table,
          {"moesim", text(c.tokens), text(c.experts), text(c.top_k)},
          with_reserve(number(c.tokens) * number(4 * c.experts + 8 * c.top_k))};
}

std::vector<NormCase> norm_grid(bool quick) {
  std::vector<NormCase> grid;
  for (const bool softmax : {false, true}) {
    for (const std::int64_t width : quick ? Sizes{4096} : Sizes{1024, 2048, 4096, 7168, 16384}) {
      for (const std::int64_t rows : token_counts(quick)) {
        grid.push_back({softmax, rows, width});
      }
    }
  }
  return grid;
}

PlannedCase planned(const NormCase& c) {
  static const Table table{"normalise", {"op_name", "kernel_source", "dtype", "rows", "width"}};
  return {&table,
          {c.softmax ? "softmax" : "rms_norm", "moesim", "bfloat16", text(c.rows), text(c.width)},
          with_reserve(number(c.rows) * number(c.width) * 4)};
}

std::vector<ConvertCase> convert_grid(bool quick) {
  std::vector<ConvertCase> grid;
  for (const Conversion conversion : {Conversion::scale_to_fp8, Conversion::find_scale_to_fp8,
                                      Conversion::fp8_to_bf16, Conversion::int4_to_bf16}) {
    for (const std::int64_t k : quick ? Sizes{4096} : Sizes{1024, 2048, 4096, 7168, 16384}) {
      for (const std::int64_t m : token_counts(quick)) {
        grid.push_back({conversion, m, k});
      }
    }
  }
  return grid;
}

PlannedCase planned(const ConvertCase& c) {
  // The first two are tables of their own, which the kernel profiles are fitted to.
  static const std::vector<std::string> columns{"kernel_source", "m", "k", "quant_dtype"};
  static const std::array<Table, 3> tables{
      Table{"scale_matrix", columns}, Table{"computescale", columns}, Table{"dequantise", columns}};
  const auto index = static_cast<std::size_t>(c.conversion);
  const bool to_fp8 = index < 2;
  return {
      &tables.at(to_fp8 ? index : 2),
      {"moesim", text(c.m), text(c.k), to_fp8 ? "fp8" : std::string(conversion_names.at(index))},
      with_reserve(number(c.m) * number(c.k) * 3)};
}

std::vector<LaunchCase> launch_grid(bool quick) {
  std::vector<LaunchCase> grid;
  for (const bool graph : {false, true}) {
    for (const std::int64_t kernels : quick ? Sizes{1, 64} : Sizes{1, 4, 16, 64, 256, 1024}) {
      grid.push_back({graph, kernels});
    }
  }
  return grid;
}

PlannedCase planned(const LaunchCase& c) {
  static const Table table{"launch", {"op_name", "kernel_source", "kernels"}};
  return {&table,
          {c.graph ? "graph" : "stream", "moesim_empty_kernel", text(c.kernels)},
          rotation_reserve};
}

std::vector<SharingCase> sharing_grid(bool quick) {
  const std::vector<GemmCase> gemms =
      quick ? std::vector<GemmCase>{{Format::bfloat16, 1024, 4096, 4096}}
            : std::vector<GemmCase>{{Format::bfloat16, 64, 8192, 8192},
                                    {Format::bfloat16, 1024, 4096, 4096},
                                    {Format::bfloat16, 8192, 8192, 8192}};
  constexpr std::int64_t mib = std::int64_t{1} << 20;
  constexpr std::array partners{Work::copy_in, Work::copy_out, Work::copy_within, Work::all_reduce};
  std::vector<SharingCase> grid;
  for (const GemmCase& gemm : gemms) {
    grid.push_back({Work::gemm, Work::none, gemm, 0});
    for (const std::int64_t bytes : quick ? Sizes{64 * mib} : Sizes{4 * mib, 64 * mib}) {
      for (const Work partner : partners) {
        grid.push_back({Work::gemm, partner, gemm, bytes});
        grid.push_back({partner, Work::gemm, gemm, bytes});
        grid.push_back({partner, Work::none, gemm, bytes});
      }
    }
  }
  return grid;
}

PlannedCase planned(const SharingCase& c) {
  static const Table table{
      "sharing", {"op_name", "kernel_source", "busy_with", "gemm_dtype", "m", "n", "k", "bytes"}};
  const auto name = [](Work work) {
    return std::string(work_names.at(static_cast<std::size_t>(work)));
  };
  const bool reduces = c.timed == Work::all_reduce || c.other == Work::all_reduce;
  return {&table,
          {name(c.timed),
           c.timed == Work::gemm ? "cublasLt"
                                 : (c.timed == Work::all_reduce ? "NCCL" : "cudaMemcpyAsync"),
           name(c.other), std::string(name_of(c.gemm.format)), text(c.gemm.m), text(c.gemm.n),
           text(c.gemm.k), text(c.bytes)},
          operand_bytes(c.gemm) + Bytes(2 * number(c.bytes)) + rotation_reserve,
          reduces ? 2 : 1};
}

}  // namespace moesim::bench
