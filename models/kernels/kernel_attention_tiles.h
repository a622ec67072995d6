// What several attention kernels share: causal attention in tiles of 128 queries x 128 keys, and
// decode with the keys split over the multiprocessors.
#pragma once

#include "models/kernels/kernel_form.h"

namespace moesim::detail {

inline constexpr std::string_view k_causal_equation =
    "t0 + overlap(QKVO bytes*e_mem/BW, step*max(chain*tiles of one row, waves(tile pairs + "
    "prologue*query tiles))), step = products of one tile pair*e_comp + softmax";

std::vector<Parameter> causal_parameters();

// `widths`: products per query-key pair, d_qk + d_v.
KernelEstimate causal_tiles(std::span<const double> c, const KernelShape& shape,
                            const KernelContext& x, double widths);

// A decode kernel's work: independent items (sequence x block of heads), each over `chunks` blocks
// of keys.
struct SplitKv {
  double items;
  double chunks;
  double item_time;   // s, prologue and epilogue of one item
  double chunk_time;  // s
  double split_time;  // s, merging partial results
  double wave;
  double least_wave;
};

// Shortest time over splits of the keys into 1, 2, 4, ... parts.
double split_kv_time(const SplitKv& work, double sms);

}  // namespace moesim::detail
