// What the algorithms share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "sim/core/units.h"
#include "sim/engine/all_to_all.h"

namespace moesim {

// A matrix of counts without its diagonal: what stays on its rank uses no link.
inline void fill_off_diagonal(std::span<const std::int32_t> counts, int ranks,
                              std::span<double> copies) {
  const auto width = static_cast<std::size_t>(ranks);
  const std::int32_t* __restrict from = counts.data();
  double* __restrict to = copies.data();
  for (std::size_t i = 0; i < width * width; ++i) {
    to[i] = from[i];
  }
  for (std::size_t r = 0; r < width; ++r) {
    to[r * width + r] = 0.0;
  }
}

// Ids (8 bytes) and gate weights (4 bytes) that travel with a token.
inline Bytes routing_bytes(int top_k) { return Bytes(12.0 * top_k); }

// Buffers of an algorithm that stages what it sends (top_k copies of a token at most) and what the
// busiest rank receives, each in the wider of its two formats.
inline Bytes staged_rows(const TokenPayload& payload, const ExchangeSize& size) {
  const Bytes row = std::max(activation_bytes(payload.hidden, payload.dispatch),
                             activation_bytes(payload.hidden, payload.combine)) +
                    routing_bytes(payload.top_k);
  const std::int64_t copies = std::min<std::int64_t>(payload.top_k, size.ranks);
  return static_cast<double>(size.tokens_per_rank * copies + size.most_pairs) * row;
}

}  // namespace moesim
