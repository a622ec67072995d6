// How sequences are dealt out to the parts of a batch.
#pragma once

#include <cstdint>

namespace moesim {

// Sequences of a class of `count` that lie before part `part` of `parts`. What does not divide goes
// round the parts, on from the `left_over` sequences of the rank's classes before that did not.
inline std::int64_t first_of_part(std::int64_t count, std::int64_t left_over, int parts, int part) {
  std::int64_t first = part * (count / parts);
  for (std::int64_t i = 0; i < count % parts; ++i) {
    first += (left_over + i) % parts < part ? 1 : 0;
  }
  return first;
}

}  // namespace moesim
