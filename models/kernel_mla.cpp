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
  e_mem,
  e_comp,
  t_item,
  t_chunk,
  per_query,
  t_split,
  l2_share,
  wave,
  least_wave,
  serial
};
constexpr double k_block = 64;  // keys and query heads of one step
}  // namespace decode

KernelEstimate evaluate_decode(std::span<const double> c, const KernelShape& shape,
                               const KernelContext& x) {
  using namespace decode;
  const KernelDims& d = shape.dims;
  const UsefulWork work = useful_work(shape, x);
  // 64 query heads share one pass over the latents; fewer are padded.
  const double rows = detail::ceil_div(d[dim::heads] * d[dim::query_len], k_block);
  const double products =
      2 * k_block * k_block * (2 * d[dim::latent] + d[dim::rope]) * c[e_comp] * x.sms / x.peak;
  const detail::SplitKv split{d[dim::sequences] * rows,
                              d[dim::context] < k_block
                                  ? d[dim::context] / k_block
                                  : detail::ceil_div(d[dim::context], k_block),
                              c[t_item],
                              c[t_chunk] + products,
                              c[t_split],
                              c[wave],
                              c[least_wave]};
  const double compute = detail::split_kv_time(split, x.sms);
  const double reuse = 1 - 0.8 * std::exp(-work.bytes / (c[l2_share] * x.l2));
  const double memory = work.bytes * c[e_mem] * reuse / x.bandwidth;
  const double total = c[t0] + c[per_query] * d[dim::sequences] * d[dim::heads] +
                       detail::overlapped(memory, compute, c[serial]);
  return detail::split(total, std::min(compute, work.flops * c[e_comp] / x.peak), memory);
}

}  // namespace

KernelForm mla_context_form() {
  return {"mla_causal_tiles", detail::k_causal_equation, detail::causal_parameters(),
          evaluate_context};
}

KernelForm mla_decode_form() {
  return {"mla_split_kv",
          "t0 + per_query*sequences*heads + overlap(latent bytes*e_mem*reuse/BW, min over splits "
          "of waves(items*split)*(t_item + chunks/split*(products*e_comp + t_chunk)) + t_split)",
          {{"t0", 8e-6, 5e-7, 2e-4},
           {"e_mem", 1.2, 0.8, 6},
           {"e_comp", 1.5, 0.5, 20},
           {"t_item", 1e-6, 1e-8, 3e-5},
           {"t_chunk", 1e-7, 1e-9, 1e-5},
           {"per_query", 1e-10, 1e-13, 1e-7},
           {"t_split", 2e-6, 1e-8, 5e-5},
           {"l2_share", 0.3, 0.005, 4},
           {"wave", 0.7, 0.05, 1},
           {"least_wave", 0.6, 0.05, 10},
           {"serial", 0.2, 0.001, 1}},
          evaluate_decode};
}

}  // namespace moesim
