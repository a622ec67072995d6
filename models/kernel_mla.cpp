// Multi-head latent attention without projections: prefill with expanded heads, decode absorbed.
#include <algorithm>
#include <cmath>

#include "models/kernel_attention_tiles.h"
#include "models/kernel_form.h"

namespace moesim {
namespace {

KernelEstimate evaluate_context(std::span<const double> c, const KernelShape& shape,
                                const KernelContext& x) {
  const KernelDims& d = shape.dims;
  return detail::causal_tiles(c, shape, x, d[dim::nope] + d[dim::rope] + d[dim::value]);
}

namespace decode {
enum Coefficient : std::size_t {
  t0,
  t_log,
  e_mem,
  e_comp,
  t_chunk,
  per_query,
  wave,
  least_wave,
  serial
};
}  // namespace decode

KernelEstimate evaluate_decode(std::span<const double> c, const KernelShape& shape,
                               const KernelContext& x) {
  const KernelDims& d = shape.dims;
  const UsefulWork work = useful_work(shape, x);
  const double memory = work.bytes * c[decode::e_mem] / x.bandwidth;
  // 64 query heads share one pass over the latents; fewer are padded.
  const double row_blocks = detail::ceil_div(d[dim::heads] * d[dim::query_len], 64);
  const double chunks = d[dim::sequences] * row_blocks * detail::ceil_div(d[dim::context], 64);
  const double per_chunk =
      2 * 64 * 64 * (2 * d[dim::latent] + d[dim::rope]) * c[decode::e_comp] * x.sms / x.peak +
      c[decode::t_chunk];
  const double compute =
      detail::waves(chunks / x.sms, c[decode::wave], c[decode::least_wave]) * per_chunk;
  const double total = c[decode::t0] + c[decode::t_log] * std::log2(1 + d[dim::context] / 64) +
                       c[decode::per_query] * d[dim::sequences] * d[dim::heads] +
                       detail::overlapped(memory, compute, c[decode::serial]);
  return detail::split(total, std::min(compute, work.flops * c[decode::e_comp] / x.peak), memory);
}

}  // namespace

KernelForm mla_context_form() {
  return {"mla_causal_tiles", detail::k_causal_equation, detail::causal_parameters(),
          evaluate_context};
}

KernelForm mla_decode_form() {
  return {"mla_split_kv",
          "t0 + t_log*log2(1 + context/64) + per_query*sequences*heads + overlap(latent bytes*e_mem"
          "/BW, waves(chunks of 64 keys x 64 heads)*(products + t_chunk))",
          {{"t0", 8e-6, 5e-7, 2e-4},
           {"t_log", 5e-7, 1e-9, 2e-5},
           {"e_mem", 1.2, 0.5, 6},
           {"e_comp", 1.5, 0.5, 20},
           {"t_chunk", 1e-7, 1e-9, 1e-5},
           {"per_query", 1e-10, 1e-13, 1e-7},
           {"wave", 0.7, 0.05, 1},
           {"least_wave", 0.6, 0.05, 10},
           {"serial", 0.2, 0.001, 1}},
          evaluate_decode};
}

}  // namespace moesim
