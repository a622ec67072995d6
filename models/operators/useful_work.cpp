// The one count of FLOPs and bytes: forms, bounds, the spec sheet, MFU and MBU rest on it.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "models/kernels/kernel_form.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

// One value of an activation that enters a product: block formats carry a 4-byte scale per 128
// values of a row.
double activation_bytes(const KernelShape& shape) {
  return shape.key.dtype == DType::fp8_block ? (8 + 32.0 / 128) / 8
                                             : stored_bits(shape.key.dtype) / 8;
}

// Products of narrow formats leave in bf16.
double result_bytes(const KernelShape& shape) {
  return std::max(16.0, stored_bits(shape.key.dtype)) / 8;
}

// A (m k), B (k n) and C (m n), each once; 2 m n k per product.
UsefulWork gemm_work(const KernelShape& shape) {
  const KernelDims& d = shape.dims;
  const double m = d[dim::m];
  const double n = d[dim::n];
  const double k = d[dim::k];
  return {2 * m * n * k * d[dim::batch],
          d[dim::batch] * (m * k * activation_bytes(shape) + n * k * storage_bytes(shape) +
                           m * n * result_bytes(shape))};
}

// Weights of the touched experts, and in and out the rows with a pair here: at least as many as
// the busiest expert has, at most one per pair, never more than there are. The least is min(tokens,
// pairs / top_k) rounded up; the kernels' own permutation traffic is an affair of their forms.
UsefulWork moe_work(const KernelShape& shape) {
  const KernelDims& d = shape.dims;
  const double weights = d[dim::matrices] * d[dim::hidden] * d[dim::inter];
  const double fewest = std::ceil(d[dim::pairs] / std::max(1.0, d[dim::top_k]));
  const double rows = std::min(d[dim::tokens], std::max(d[dim::busiest], fewest));
  return {2 * d[dim::pairs] * weights,
          d[dim::touched] * weights * storage_bytes(shape) +
              rows * d[dim::hidden] * (activation_bytes(shape) + result_bytes(shape))};
}

// q k^T and p v: 2 * head_dim each per visible pair and head. Queries and results: sequences *
// query_len * heads; keys and values: sequences * keys * kv_heads, where keys are those that some
// query sees.
UsefulWork attention_work(const KernelShape& shape) {
  const KernelDims& d = shape.dims;
  const double keys = std::min(d[dim::context], d[dim::query_len] - 1 + window_of(shape));
  const double queries = d[dim::sequences] * d[dim::query_len] * d[dim::heads];
  return {
      4 * d[dim::sequences] * d[dim::heads] * visible_pairs(shape) * d[dim::head_dim],
      d[dim::head_dim] * (2 * result_bytes(shape) * queries +
                          2 * storage_bytes(shape) * d[dim::sequences] * keys * d[dim::kv_heads])};
}

// Every head has keys and values of its own, as the expansion wrote them: in 16 bits, the rotary
// part repeated.
UsefulWork mla_context_work(const KernelShape& shape) {
  const KernelDims& d = shape.dims;
  const double widths = d[dim::nope] + d[dim::rope] + d[dim::value];
  const double heads = d[dim::sequences] * d[dim::heads];
  return {2 * heads * visible_pairs(shape) * widths,
          2 * heads * (d[dim::query_len] + d[dim::context]) * widths};
}

// All heads share the cached latent.
UsefulWork mla_decode_work(const KernelShape& shape) {
  const KernelDims& d = shape.dims;
  const double widths = 2 * d[dim::latent] + d[dim::rope];
  const double queries = d[dim::sequences] * d[dim::heads] * d[dim::query_len];
  return {
      2 * d[dim::sequences] * d[dim::heads] * visible_pairs(shape) * widths,
      storage_bytes(shape) * d[dim::sequences] * d[dim::context] * (d[dim::latent] + d[dim::rope]) +
          result_bytes(shape) * queries * widths};
}

// Projections in the key's format, attention as it is alone.
UsefulWork mla_module_work(const KernelShape& shape) {
  UsefulWork work = useful_work(detail::mla_core(shape));
  for (const detail::Product& p : detail::mla_module_products(shape)) {
    work.flops += 2 * p.m * p.n * p.k * p.batch;
    work.bytes += p.batch * p.n * p.k * stored_bits(shape.key.dtype) / 8;
  }
  return work;
}

}  // namespace

double storage_bytes(const KernelShape& shape) {
  return (shape.weight_bits > 0 ? shape.weight_bits : stored_bits(shape.key.storage)) / 8;
}

// The queries are the last `query_len` of `context` tokens; causal, query i of q sees the last
// min(window, context - q + i) keys.
double visible_pairs(const KernelShape& shape) {
  const KernelDims& d = shape.dims;
  if (!shape.causal) {
    return d[dim::query_len] * d[dim::context];
  }
  const double queries = d[dim::query_len];
  const double past = d[dim::context] - queries;
  const double window = window_of(shape);
  if (window >= d[dim::context]) {
    return queries * (past + (queries + 1) / 2);
  }
  // The first queries see fewer keys than the window holds.
  const double growing = std::clamp(window - past, 0.0, queries);
  return growing * (past + (growing + 1) / 2) + (queries - growing) * window;
}

double window_of(const KernelShape& shape) {
  const bool windowed = shape.key.kind == KernelKind::attention_window_context ||
                        shape.key.kind == KernelKind::attention_window_decode;
  return windowed ? shape.dims[dim::window] : std::numeric_limits<double>::infinity();
}

UsefulWork useful_work(const KernelShape& shape) {
  switch (shape.key.kind) {
    case KernelKind::gemm:
    case KernelKind::batched_gemm:
      return gemm_work(shape);
    case KernelKind::moe:
    case KernelKind::moe_ungated:
    case KernelKind::mlp:
      return moe_work(shape);
    case KernelKind::attention_context:
    case KernelKind::attention_decode:
    case KernelKind::attention_window_context:
    case KernelKind::attention_window_decode:
      return attention_work(shape);
    case KernelKind::mla_context:
      return mla_context_work(shape);
    case KernelKind::mla_decode:
      return mla_decode_work(shape);
    case KernelKind::mla_module_context:
    case KernelKind::mla_module_decode:
      return mla_module_work(shape);
    case KernelKind::memory:
      return {0.0, shape.dims[dim::read] + shape.dims[dim::written]};
    case KernelKind::linear_context:
    case KernelKind::linear_decode:
    case KernelKind::convolution_context:
    case KernelKind::convolution_decode:
    case KernelKind::indexer_context:
    case KernelKind::indexer_decode:
    case KernelKind::sparse_context:
    case KernelKind::sparse_decode:
      return {shape.dims[dim::flops], shape.dims[dim::bytes]};
  }
  throw InvariantError("every kernel kind has useful work");
}

double least_seconds(const UsefulWork& work, const KernelContext& context) {
  const double arithmetic = work.flops / context.peak;
  const double memory = (work.bytes - context.l2) / context.bandwidth;
  return arithmetic > memory ? arithmetic : memory;
}

Flops flops_of(const OpShape& op) {
  const auto* roofline = std::get_if<RooflineOp>(&op);
  return roofline != nullptr ? roofline->flops : Flops(useful_work(shape_of(op)).flops);
}

Bytes bytes_of(const OpShape& op) {
  const auto* roofline = std::get_if<RooflineOp>(&op);
  return roofline != nullptr ? roofline->bytes : Bytes(useful_work(shape_of(op)).bytes);
}

std::string_view name_of(CountedKernel kernel) {
  constexpr std::array<std::string_view, k_counted_kernels> names{
      "uneven_attention", "linear_attention", "lightning_attention", "short_convolution",
      "state_space",      "indexer",          "sparse_attention",    "compressed_attention"};
  return names.at(static_cast<std::size_t>(kernel));
}

}  // namespace moesim
