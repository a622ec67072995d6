// Dense products on tiled tensor-core kernels.
#include <limits>

#include "models/kernels/kernel_form.h"

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

// The shapes that cuBLAS, CUTLASS and DeepGEMM choose from, both orders; as powers of two.
constexpr std::size_t k_row_sizes = 3;     // 64, 128, 256
constexpr std::size_t k_column_sizes = 4;  // 32, 64, 128, 256
struct Tile {
  std::size_t rows;     // 64 << rows
  std::size_t columns;  // 32 << columns
};
constexpr std::array<Tile, 9> tiles{Tile{0, 0}, Tile{0, 1}, Tile{0, 2}, Tile{1, 0}, Tile{1, 1},
                                    Tile{1, 2}, Tile{0, 3}, Tile{1, 3}, Tile{2, 2}};

constexpr int k_most_halvings = 3;

double round_up(double x) {
  const double whole = detail::whole_part(x);
  return whole < x ? whole + 1 : whole;
}

// The best tile and split of k. Seconds of one call without memory traffic. Divisions by sizes that
// are powers of two are exact products.
double best_tiling(std::span<const double> c, const KernelDims& d, const KernelContext& x) {
  const double flop_time = 2 * c[e_comp] * x.sms / x.peak;
  const double l2_time = x.operand_bytes * c[l2_share] * x.sms / x.on_die;
  const double split_time =
      4 * d[dim::m] * d[dim::n] * d[dim::batch] * c[split_traffic] / x.bandwidth;
  const double waves_per_tile = d[dim::batch] / x.sms;
  std::array<double, k_row_sizes> tile_rows;
  for (std::size_t i = 0; i < k_row_sizes; ++i) {
    tile_rows[i] = round_up(d[dim::m] * (1.0 / static_cast<double>(64 << i))) * waves_per_tile;
  }
  std::array<double, k_column_sizes> tile_columns;
  for (std::size_t i = 0; i < k_column_sizes; ++i) {
    tile_columns[i] = round_up(d[dim::n] * (1.0 / static_cast<double>(32 << i)));
  }
  double best = std::numeric_limits<double>::infinity();
  for (const Tile& tile : tiles) {
    const auto rows = static_cast<double>(64 << tile.rows);
    const auto columns = static_cast<double>(32 << tile.columns);
    const double count = tile_rows[tile.rows] * tile_columns[tile.columns];
    const double compute = flop_time * rows * columns;
    const double traffic = l2_time * (rows + columns);
    const double per_k = (compute > traffic ? compute : traffic) * d[dim::k];
    double split = 1;
    double share = 1;
    for (int power = 0; power <= k_most_halvings && split <= c[split_max]; ++power) {
      double time =
          detail::waves(count * split, c[wave], c[least_wave]) * (per_k * share + c[t_tile]);
      if (power > 0) {
        time += c[t_split] + split * split_time;
      }
      best = time < best ? time : best;
      if (count * split > 1) {
        break;  // all multiprocessors are busy: splitting further only adds traffic
      }
      split *= 2;
      share *= 0.5;
    }
  }
  return best;
}

KernelEstimate evaluate(std::span<const double> c, const KernelShape& shape,
                        const KernelContext& x) {
  const KernelDims& d = shape.dims;
  const UsefulWork work = useful_work(shape);
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
