// What the algorithms share.
#pragma once

#include <cstdint>
#include <span>

#include "sim/core/units.h"

namespace moesim {

// Adds a matrix of counts except its diagonal: what stays on its rank uses no link.
inline void add_off_diagonal(std::span<const std::int32_t> counts, int ranks,
                             std::span<double> copies) {
  const auto width = static_cast<std::size_t>(ranks);
  for (std::size_t i = 0; i < width * width; ++i) {
    copies[i] += counts[i];
  }
  for (std::size_t r = 0; r < width; ++r) {
    copies[r * width + r] -= counts[r * width + r];
  }
}

// Ids (8 bytes) and gate weights (4 bytes) that travel with a token.
inline Bytes routing_bytes(int top_k) { return Bytes(12.0 * top_k); }

}  // namespace moesim
