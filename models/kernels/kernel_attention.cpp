// Softmax attention with query tiles of 128 rows: prefill over the causal half, decode over the
// whole cache with the keys split over the multiprocessors.
#include <algorithm>
#include <cmath>

#include "models/kernels/kernel_attention_tiles.h"
#include "models/kernels/kernel_form.h"

namespace moesim {
namespace {

KernelEstimate evaluate_context(std::span<const double> c, const KernelShape& shape,
                                const KernelContext& x) {
  const KernelDims& d = shape.dims;
  const double widths = 2 * d[dim::head_dim];
  return detail::causal_tiles(c, shape, x, widths);
}

namespace decode {
enum Coefficient : std::size_t {
  t0,
  e_mem_one,
  e_mem_group,
  e_mem_wide,
  l2_one,
  l2_group,
  l2_wide,
  t_item,
  t_chunk,
  t_split,
  l2_share,
  wave,
  least_wave,
  serial
};
constexpr double k_widest_group = 32;
constexpr double k_chunk = 128;  // keys
}  // namespace decode

// Three kernels by query heads per KV head: one; up to 32, which share a pass over the keys; more,
// where TensorRT-LLM falls back to a kernel that reads the keys once per query head.
KernelEstimate evaluate_decode(std::span<const double> c, const KernelShape& shape,
                               const KernelContext& x) {
  using namespace decode;
  const KernelDims& d = shape.dims;
  const UsefulWork work = useful_work(shape);
  const double group = d[dim::heads] / d[dim::kv_heads];
  std::size_t variant = 1;
  if (group <= 1) {
    variant = 0;
  } else if (group > k_widest_group) {
    variant = 2;
  }
  const double heads = variant == 1 ? d[dim::kv_heads] : d[dim::heads];
  const double keys = std::min(d[dim::context], d[dim::query_len] - 1 + window_of(shape));
  const double chunk_bytes = k_chunk * 2 * d[dim::head_dim] * x.storage_bytes;
  const detail::SplitKv split{d[dim::sequences] * d[dim::query_len] * heads,
                              keys < k_chunk ? keys / k_chunk : detail::ceil_div(keys, k_chunk),
                              c[t_item],
                              c[t_chunk] + chunk_bytes * c[l2_one + variant] * x.sms / x.on_die,
                              c[t_split],
                              c[wave],
                              c[least_wave]};
  const double compute = detail::split_kv_time(split, x.sms);
  const double reuse = 1 - 0.8 * std::exp(-work.bytes / (c[l2_share] * x.l2));
  const double memory = work.bytes * c[e_mem_one + variant] * reuse / x.bandwidth;
  const double total = c[t0] + detail::overlapped(memory, compute, c[serial]);
  return detail::split(total, std::min(compute, work.flops / x.peak), memory);
}

}  // namespace

KernelForm attention_context_form() {
  return {"attention_causal_tiles", detail::k_causal_equation, detail::causal_parameters(),
          evaluate_context};
}

KernelForm attention_decode_form() {
  return {"attention_split_kv",
          "t0 + overlap(KV bytes*e_mem*reuse/BW, min over splits of waves(items*split)*(t_item + "
          "chunks/split*(t_chunk + bytes*l2*SMs/BW)) + t_split); e_mem and l2 by 1, 2..32, > 32 "
          "query heads per KV head",
          {{"t0", 5e-6, 5e-7, 2e-4},
           {"e_mem_one", 1.1, 0.8, 6},
           {"e_mem_group", 1.1, 0.8, 6},
           {"e_mem_wide", 1.1, 0.8, 6},
           {"l2_one", 0.3, 0.01, 6},
           {"l2_group", 0.3, 0.01, 6},
           {"l2_wide", 0.5, 0.01, 6},
           {"t_item", 1e-6, 1e-8, 3e-5},
           {"t_chunk", 2e-7, 1e-9, 1e-5},
           {"t_split", 2e-6, 1e-8, 5e-5},
           {"l2_share", 0.3, 0.005, 4},
           {"wave", 0.7, 0.05, 1},
           {"least_wave", 0.6, 0.05, 4},
           {"serial", 0.2, 0.001, 1}},
          evaluate_decode};
}

}  // namespace moesim
