// Causal attention in tiles of 128 queries x 128 keys, shared by prefill attention and prefill MLA.
#pragma once

#include "models/kernel_form.h"

namespace moesim::detail {

inline constexpr std::string_view k_causal_equation =
    "t0 + overlap(QKVO bytes*e_mem/BW, step*max(chain*tiles of one row, waves(tile pairs + "
    "prologue*query tiles))), step = products of one tile pair*e_comp + softmax";

std::vector<Parameter> causal_parameters();

// `widths`: products per query-key pair, d_qk + d_v.
KernelEstimate causal_tiles(std::span<const double> c, const KernelShape& shape,
                            const KernelContext& x, double widths);

}  // namespace moesim::detail
