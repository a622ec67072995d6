// The plain roofline, bandwidth-bound kernels, and the useful work that both count.
#include <cmath>

#include "models/kernel_form.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

namespace stream {
enum Coefficient : std::size_t { t0, e_mem, l2_share };
}
namespace roofline {
enum Coefficient : std::size_t { t0, e_comp, e_mem };
}

KernelEstimate evaluate_stream(std::span<const double> c, const KernelShape& shape,
                               const KernelContext& x) {
  const double bytes = shape.dims[dim::read] + shape.dims[dim::written];
  const double reuse = 1 - 0.8 * std::exp(-bytes / (c[stream::l2_share] * x.l2));
  const double memory = bytes * reuse * c[stream::e_mem] / x.bandwidth;
  return detail::split(c[stream::t0] + memory, 0.0, memory);
}

KernelEstimate evaluate_roofline(std::span<const double> c, const KernelShape& shape,
                                 const KernelContext& x) {
  const UsefulWork work = useful_work(shape, x);
  const double compute = work.flops * c[roofline::e_comp] / x.peak;
  const double memory = work.bytes * c[roofline::e_mem] / x.bandwidth;
  return detail::split(c[roofline::t0] + (compute > memory ? compute : memory), compute, memory);
}

UsefulWork gemm_work(const KernelDims& d, const KernelContext& x) {
  const double m = d[dim::m];
  const double n = d[dim::n];
  const double k = d[dim::k];
  return {2 * m * n * k * d[dim::batch],
          d[dim::batch] * (m * k * x.operand_bytes + n * k * x.storage_bytes + m * n * 2)};
}

UsefulWork moe_work(const KernelDims& d, const KernelContext& x) {
  const double weights = d[dim::matrices] * d[dim::hidden] * d[dim::inter];
  // A rank reads the rows that its experts compute on; it cannot have more than all of them.
  const double rows = d[dim::pairs] < d[dim::tokens] ? d[dim::pairs] : d[dim::tokens];
  return {2 * d[dim::pairs] * weights,
          d[dim::touched] * weights * x.storage_bytes + 2 * 2 * rows * d[dim::hidden]};
}

double causal_pairs(const KernelDims& d) {
  const double past = d[dim::context] - d[dim::query_len];
  return d[dim::query_len] * (past + (d[dim::query_len] + 1) / 2);
}

UsefulWork attention_work(const KernelDims& d, const KernelContext& x) {
  const double queries = d[dim::sequences] * d[dim::query_len] * d[dim::heads];
  return {4 * d[dim::sequences] * d[dim::heads] * causal_pairs(d) * d[dim::head_dim],
          d[dim::head_dim] * (2 * 2 * queries + 2 * x.storage_bytes * d[dim::sequences] *
                                                    d[dim::context] * d[dim::kv_heads])};
}

UsefulWork mla_context_work(const KernelDims& d) {
  const double qk = d[dim::nope] + d[dim::rope];
  const double heads = d[dim::sequences] * d[dim::heads];
  return {2 * heads * causal_pairs(d) * (qk + d[dim::value]),
          2 * heads * (d[dim::query_len] + d[dim::context]) * (qk + d[dim::value])};
}

UsefulWork mla_decode_work(const KernelDims& d, const KernelContext& x) {
  const double widths = 2 * d[dim::latent] + d[dim::rope];
  const double queries = d[dim::sequences] * d[dim::heads] * d[dim::query_len];
  return {2 * d[dim::sequences] * d[dim::heads] * causal_pairs(d) * widths,
          x.storage_bytes * d[dim::sequences] * d[dim::context] * (d[dim::latent] + d[dim::rope]) +
              2 * queries * widths};
}

// Projections in the key's format, attention as it is alone.
UsefulWork mla_module_work(const KernelShape& shape, const KernelContext& x) {
  UsefulWork work = useful_work(detail::mla_core(shape), x);
  for (const detail::Product& p : detail::mla_module_products(shape)) {
    work.flops += 2 * p.m * p.n * p.k * p.batch;
    work.bytes += p.batch * p.n * p.k * x.operand_bytes;
  }
  return work;
}

}  // namespace

UsefulWork useful_work(const KernelShape& shape, const KernelContext& x) {
  const KernelDims& d = shape.dims;
  switch (shape.key.kind) {
    case KernelKind::gemm:
    case KernelKind::batched_gemm:
      return gemm_work(d, x);
    case KernelKind::moe:
    case KernelKind::moe_ungated:
    case KernelKind::mlp:
      return moe_work(d, x);
    case KernelKind::attention_context:
    case KernelKind::attention_decode:
      return attention_work(d, x);
    case KernelKind::mla_context:
      return mla_context_work(d);
    case KernelKind::mla_decode:
      return mla_decode_work(d, x);
    case KernelKind::mla_module_context:
    case KernelKind::mla_module_decode:
      return mla_module_work(shape, x);
    case KernelKind::memory:
      return {0.0, d[dim::read] + d[dim::written]};
  }
  throw InvariantError("every kernel kind has useful work");
}

double least_seconds(const KernelShape& shape, const KernelContext& context) {
  const UsefulWork work = useful_work(shape, context);
  const double arithmetic = work.flops / context.peak;
  const double memory = (work.bytes - context.l2) / context.bandwidth;
  return arithmetic > memory ? arithmetic : memory;
}

KernelForm stream_form() {
  return {"stream",
          "t0 + bytes*e_mem*(1 - 0.8 exp(-bytes/(l2_share*L2)))/BW",
          {{"t0", 3e-6, 3e-7, 1e-4}, {"e_mem", 1.2, 0.8, 4}, {"l2_share", 0.3, 0.005, 4}},
          evaluate_stream};
}

KernelForm roofline_form() {
  return {"roofline",
          "t0 + max(flops*e_comp/peak, bytes*e_mem/BW)",
          {{"t0", 1e-5, 3e-7, 5e-4}, {"e_comp", 1.5, 0.8, 20}, {"e_mem", 1.3, 0.5, 20}},
          evaluate_roofline};
}

}  // namespace moesim
