// Dense products on tiled tensor-core kernels.
#include <limits>

#include "models/kernel_form.h"

namespace moesim {
namespace {

enum Coefficient : std::size_t {
  t0,
  quantise,
  e_mem,
  e_comp,
  l2_share,
  t_tile,
  wave,
  least_wave,
  split_max,
  split_traffic,
  t_split,
  serial
};

struct Tile {
  double rows;
  double columns;
};
// The shapes that cuBLAS, CUTLASS and DeepGEMM choose from, both orders.
constexpr std::array<Tile, 9> tiles{Tile{64, 32},  Tile{64, 64},   Tile{64, 128},
                                    Tile{128, 32}, Tile{128, 64},  Tile{128, 128},
                                    Tile{64, 256}, Tile{128, 256}, Tile{256, 128}};

constexpr int k_most_halvings = 3;

// The best tile and split of k. Seconds of one call without memory traffic.
double best_tiling(std::span<const double> c, const KernelDims& d, const KernelContext& x) {
  const double flop_time = 2 * c[e_comp] * x.sms / x.peak;
  const double l2_time = x.operand_bytes * c[l2_share] * x.sms / x.on_die;
  const double split_bytes = 4 * d[dim::m] * d[dim::n] * d[dim::batch] * c[split_traffic];
  double best = std::numeric_limits<double>::infinity();
  for (const Tile& tile : tiles) {
    const double count = detail::ceil_div(d[dim::m], tile.rows) *
                         detail::ceil_div(d[dim::n], tile.columns) * d[dim::batch] / x.sms;
    const double compute = flop_time * tile.rows * tile.columns;
    const double traffic = l2_time * (tile.rows + tile.columns);
    const double per_k = (compute > traffic ? compute : traffic) * d[dim::k];
    for (int power = 0; power <= k_most_halvings; ++power) {
      const double split = 1 << power;
      if (split > c[split_max]) {
        break;
      }
      double time =
          detail::waves(count * split, c[wave], c[least_wave]) * (per_k / split + c[t_tile]);
      if (split > 1) {
        time += c[t_split] + split * split_bytes / x.bandwidth;
      }
      best = time < best ? time : best;
      if (count * split > 1) {
        break;  // all multiprocessors are busy: splitting further only adds traffic
      }
    }
  }
  return best;
}

KernelEstimate evaluate(std::span<const double> c, const KernelShape& shape,
                        const KernelContext& x) {
  const KernelDims& d = shape.dims;
  const UsefulWork work = useful_work(shape, x);
  const double quantising = c[quantise] * 3 * d[dim::m] * d[dim::k] * d[dim::batch] / x.bandwidth;
  const double memory = work.bytes * c[e_mem] / x.bandwidth;
  const double compute = best_tiling(c, d, x);
  const double total = c[t0] + quantising + detail::overlapped(memory, compute, c[serial]);
  // The tensor cores are only taken for the useful part; padding and prologues are waiting.
  return detail::split(total, work.flops * c[e_comp] / x.peak, memory + quantising);
}

}  // namespace

KernelForm gemm_form() {
  return {"gemm_tiles",
          "t0 + quantise*3mk/BW + overlap(bytes*e_mem/BW, min over tiles, splits of waves*(k*"
          "max(compute, L2) + t_tile) + split cost)",
          {{"t0", 3e-6, 3e-7, 1e-4},
           {"quantise", 2, 0.05, 50},
           {"e_mem", 1.2, 0.6, 4},
           {"e_comp", 1.3, 0.9, 6},
           {"l2_share", 0.2, 0.01, 2},
           {"t_tile", 1e-6, 2e-8, 2e-5},
           {"wave", 0.7, 0.05, 1},
           {"least_wave", 0.6, 0.05, 1},
           {"split_max", 8, 1, 8},
           {"split_traffic", 0.5, 0.01, 10},
           {"t_split", 1e-6, 1e-8, 2e-5},
           {"serial", 0.1, 0.001, 1}},
          evaluate};
}

}  // namespace moesim
