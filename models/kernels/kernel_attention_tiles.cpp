#include "models/kernels/kernel_attention_tiles.h"

#include <algorithm>
#include <cmath>

namespace moesim::detail {
namespace {

enum Coefficient : std::size_t {
  t0,
  e_mem,
  e_comp,
  softmax,
  prologue,
  chain,
  wave,
  least_wave,
  serial
};

// Below one tile the rows that exist count, not the padded ones: short prompts use smaller tiles.
double tiles_of(double rows) { return rows < 128 ? rows / 128 : ceil_div(rows, 128); }

// Pairs of tiles that `rows` rows after `past` others see of at most `most` tiles each.
double tile_pairs(double rows, double past, double most) {
  if (rows < 1) {
    return rows * std::min(past + (rows + 1) / 2, most);
  }
  const double growing = std::clamp(std::floor(most - past), 0.0, rows);
  return growing * past + growing * (growing + 1) / 2 + (rows - growing) * most;
}

}  // namespace

std::vector<Parameter> causal_parameters() {
  return {{"t0", 8e-6, 5e-7, 2e-4},      {"e_mem", 1.2, 0.3, 8},       {"e_comp", 1.3, 0.8, 8},
          {"softmax", 1e-7, 1e-9, 1e-5}, {"prologue", 0.5, 0.005, 20}, {"chain", 0.7, 0.05, 4},
          {"wave", 0.6, 0.02, 1},        {"least_wave", 0.5, 0.01, 2}, {"serial", 0.2, 0.001, 1}};
}

KernelEstimate causal_tiles(std::span<const double> c, const KernelShape& shape,
                            const KernelContext& x, double widths) {
  const KernelDims& d = shape.dims;
  const UsefulWork work = useful_work(shape);
  const double rows = tiles_of(d[dim::query_len]);
  const double past = tiles_of(std::max(0.0, d[dim::context] - d[dim::query_len]));
  const double seen = tiles_of(d[dim::context]);  // by every row, unless causal
  const double window = window_of(shape);
  const bool windowed = shape.causal && window < d[dim::context];
  // A window that begins inside a tile reaches into one more.
  const double most = windowed ? tiles_of(window) + 1 : 0.0;
  double pairs = shape.causal ? rows * past + rows * (rows + 1) / 2 : rows * seen;
  if (windowed) {
    pairs = tile_pairs(rows, past, most);
  }
  const double step = 2 * 128 * 128 * widths * c[e_comp] * x.sms / x.peak + c[softmax];
  // Every row of tiles pays for loading its queries and writing its result, however short it is.
  const double tiles = rows < 1 ? 1 : rows;
  const double units = d[dim::sequences] * d[dim::heads] * (pairs + c[prologue] * tiles) / x.sms;
  // The last row of tiles sees its keys one after the other.
  const double last = shape.causal ? rows + past : seen;
  const double longest = c[chain] * (windowed ? std::min(last, most) : last);
  const double compute = step * std::max(longest, waves(units, c[wave], c[least_wave]));
  const double memory = work.bytes * c[e_mem] / x.bandwidth;
  const double total = c[t0] + overlapped(memory, compute, c[serial]);
  return split(total, std::min(compute, work.flops * c[e_comp] / x.peak), memory);
}

double split_kv_time(const SplitKv& work, double sms) {
  double best = 0;
  for (int power = 0; power <= 7; ++power) {
    const double split = 1 << power;
    const double parts = work.chunks / split;
    const double time = waves(work.items * split / sms, work.wave, work.least_wave) *
                            (work.item_time + (parts > 1 ? parts : 1) * work.chunk_time) +
                        (split > 1 ? work.split_time : 0.0);
    best = power == 0 || time < best ? time : best;
    if (parts <= 1 || work.items * split > 2 * sms) {
      break;
    }
  }
  return best;
}

}  // namespace moesim::detail
