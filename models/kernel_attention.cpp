// Softmax attention with query tiles of 128 rows: prefill over the causal half, decode over the
// whole cache with the keys split over the multiprocessors.
#include <algorithm>
#include <cmath>

#include "models/kernel_attention_tiles.h"
#include "models/kernel_form.h"

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
  t_log,
  e_mem,
  single_head,
  wide_group,
  e_comp,
  t_chunk,
  wave,
  least_wave,
  serial
};
}  // namespace decode

KernelEstimate evaluate_decode(std::span<const double> c, const KernelShape& shape,
                               const KernelContext& x) {
  const KernelDims& d = shape.dims;
  const UsefulWork work = useful_work(shape, x);
  const double group = d[dim::heads] / d[dim::kv_heads];
  double slow = 1.0;
  if (group <= 1) {
    slow = c[decode::single_head];
  } else if (group > 32) {
    slow = c[decode::wide_group];  // TensorRT-LLM falls back to another kernel
  }
  const double memory = work.bytes * c[decode::e_mem] * slow / x.bandwidth;
  // Chunks of 128 keys per KV head, 16 query rows a tensor-core instruction.
  const double row_blocks = detail::ceil_div(group * d[dim::query_len], 16);
  const double chunks =
      d[dim::sequences] * d[dim::kv_heads] * detail::ceil_div(d[dim::context], 128);
  const double per_chunk =
      row_blocks * 16 * 4 * 128 * d[dim::head_dim] * c[decode::e_comp] * x.sms / x.peak * slow +
      c[decode::t_chunk] * row_blocks;
  const double compute =
      detail::waves(chunks / x.sms, c[decode::wave], c[decode::least_wave]) * per_chunk;
  const double total = c[decode::t0] + c[decode::t_log] * std::log2(1 + d[dim::context] / 128) +
                       detail::overlapped(memory, compute, c[decode::serial]);
  return detail::split(total, std::min(compute, work.flops * c[decode::e_comp] / x.peak), memory);
}

}  // namespace

KernelForm attention_context_form() {
  return {"attention_causal_tiles", detail::k_causal_equation, detail::causal_parameters(),
          evaluate_context};
}

KernelForm attention_decode_form() {
  return {"attention_split_kv",
          "t0 + t_log*log2(1 + context/128) + overlap(KV bytes*e_mem*slow/BW, waves(chunks of 128 "
          "keys)*(products of 16-row blocks*slow + t_chunk))",
          {{"t0", 5e-6, 5e-7, 2e-4},
           {"t_log", 5e-7, 1e-9, 2e-5},
           {"e_mem", 1.2, 0.5, 6},
           {"single_head", 1, 0.3, 4},
           {"wide_group", 2, 0.5, 10},
           {"e_comp", 1.5, 0.5, 20},
           {"t_chunk", 1e-7, 1e-9, 1e-5},
           {"wave", 0.7, 0.05, 1},
           {"least_wave", 0.6, 0.05, 4},
           {"serial", 0.2, 0.001, 1}},
          evaluate_decode};
}

}  // namespace moesim
