// Batches for properties that hold for all of them.
#pragma once

#include <algorithm>
#include <vector>

#include "sim/core/rng.h"
#include "sim/engine/step_batch.h"

namespace moesim::testing {

// A batch that no list of cases would have: idle ranks, chunks, long and short contexts.
// `most_sequences`: of a class.
inline StepBatch random_batch(std::uint64_t seed, int ranks, std::uint64_t most_sequences = 4) {
  std::vector<RankBatch> batches(static_cast<std::size_t>(ranks));
  std::uint64_t draw = 0;
  const auto below = [&](std::uint64_t n) {
    return static_cast<std::int64_t>(mix64(seed * 1000 + draw++) % n);
  };
  for (RankBatch& rank : batches) {
    for (std::int64_t classes = below(3); classes > 0; --classes) {
      const bool is_decode = below(2) == 0;
      const std::int64_t tokens = is_decode ? 1 : 1 + below(40);
      rank.sequences.push_back({.phase = is_decode ? Phase::decode : Phase::prefill,
                                .count = 1 + below(most_sequences),
                                .new_tokens = tokens,
                                .context = tokens + below(3000)});
    }
  }
  if (std::ranges::all_of(batches, [](const RankBatch& r) { return r.sequences.empty(); })) {
    batches.front().sequences.push_back({.count = 1, .context = 5});
  }
  return StepBatch(batches);
}

}  // namespace moesim::testing
