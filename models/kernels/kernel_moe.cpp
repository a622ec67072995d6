// The routed experts of one rank: permute, grouped gate+up product, activation, grouped down
// product, finalize.
#include <cmath>

#include "models/kernels/kernel_form.h"

namespace moesim {
namespace {

enum Coefficient : std::size_t {
  t0,
  per_expert,
  entering,
  pair_hidden,
  pair_inter,
  all_pairs_hidden,
  all_pairs_inter,
  e_mem,
  l2_share,
  parallelism,
  e_comp,
  e_64,
  t_tile,
  wave,
  least_wave,
  serial,
  few_tokens
};

struct GroupedGemm {
  double memory;   // s, as slow as the parallelism allows
  double compute;  // s
};

GroupedGemm grouped_gemm(std::span<const double> c, const KernelDims& d, const KernelContext& x,
                         double n, double k, double reuse) {
  const double columns = detail::ceil_div(n, 128);
  // Few tiles cannot keep enough loads in flight to fill the memory's pipe.
  const double filled = d[dim::touched] * columns / (c[parallelism] * x.sms);
  const double memory = d[dim::touched] * n * k * x.storage_bytes * reuse * c[e_mem] / x.bandwidth;
  const double per_row = 2 * 128 * k * c[e_comp] * x.sms / x.peak;
  const double by_64 = detail::waves(d[dim::tiles_64] * columns / x.sms, c[wave], c[least_wave]) *
                       (64 * per_row * c[e_64] + c[t_tile]);
  const double by_128 = detail::waves(d[dim::tiles_128] * columns / x.sms, c[wave], c[least_wave]) *
                        (128 * per_row + c[t_tile]);
  return {filled < 1 ? memory / std::sqrt(filled) : memory, by_64 < by_128 ? by_64 : by_128};
}

KernelEstimate evaluate(std::span<const double> c, const KernelShape& shape,
                        const KernelContext& x) {
  const KernelDims& d = shape.dims;
  const double gates = d[dim::matrices] - 1;
  const double hidden = d[dim::hidden];
  const double inter = d[dim::inter];
  const double pairs = d[dim::pairs];
  const double all_pairs = d[dim::tokens] * d[dim::top_k];
  const double traffic =
      2 *
      (hidden * (c[entering] * d[dim::tokens] + c[pair_hidden] * pairs +
                 c[all_pairs_hidden] * all_pairs) +
       inter * (gates + 1) * (c[pair_inter] * pairs + c[all_pairs_inter] * all_pairs)) /
      x.bandwidth;
  double total = c[t0] + c[per_expert] * d[dim::local_experts] + traffic;
  if (pairs <= 0) {
    return detail::split(total, 0.0, traffic);
  }
  // Weights that fit into the cache stay there from call to call.
  const double weights = d[dim::touched] * (gates + 1) * hidden * inter * x.storage_bytes;
  const double reuse = 1 - 0.8 * std::exp(-weights / (c[l2_share] * x.l2));
  const GroupedGemm up = grouped_gemm(c, d, x, gates * inter, hidden, reuse);
  const GroupedGemm down = grouped_gemm(c, d, x, hidden, inter, reuse);
  // Triton kernels take narrower tiles while there are no more tokens than experts.
  const double narrow = d[dim::tokens] <= d[dim::local_experts] ? c[few_tokens] : 1.0;
  total += narrow * (detail::overlapped(up.memory, up.compute, c[serial]) +
                     detail::overlapped(down.memory, down.compute, c[serial]));
  const UsefulWork work = useful_work(shape);
  return detail::split(total, narrow * work.flops * c[e_comp] / x.peak,
                       traffic + narrow * weights * reuse * c[e_mem] / x.bandwidth);
}

}  // namespace

KernelForm moe_form() {
  return {"moe_grouped",
          "t0 + per_expert*E_local + traffic/BW + sum over 2 products of overlap(touched weights, "
          "min over 64- and 128-row tiles of waves*(tile + t_tile))",
          {{"t0", 2e-5, 1e-6, 3e-4},
           {"per_expert", 5e-8, 1e-10, 2e-6},
           {"entering", 2, 0.02, 40},
           {"pair_hidden", 3, 0.02, 60},
           {"pair_inter", 1.5, 0.02, 60},
           {"all_pairs_hidden", 0.5, 0.005, 40},
           {"all_pairs_inter", 0.2, 0.005, 40},
           {"e_mem", 1.1, 0.7, 5},
           {"l2_share", 0.35, 0.02, 2},
           {"parallelism", 1, 0.05, 20},
           {"e_comp", 1.4, 0.7, 12},
           {"e_64", 1.3, 0.7, 4},
           {"t_tile", 1e-6, 2e-8, 5e-5},
           {"wave", 0.7, 0.05, 1},
           {"least_wave", 0.6, 0.05, 1},
           {"serial", 0.3, 0.001, 1},
           {"few_tokens", 0.9, 0.2, 1}},
          evaluate};
}

}  // namespace moesim
