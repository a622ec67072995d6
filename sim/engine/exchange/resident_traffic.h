// Tokens that stay with their last expert: context-coherent expert parallelism (ExFlow,
// arXiv:2401.08383). A token starts at its home rank. In every layer its copies go from where it
// rests to its experts; then it rests with the first of them (its best, if gate order or weights
// are known), and the others' results travel there. Without replicas, and with one expert per
// token, that is one transfer per layer that changes the rank, and none back.
#pragma once

#include "sim/engine/exchange/step_traffic.h"

namespace moesim {

// Parts of a decode step with attention tp 1; of single tokens that stand for themselves alone.
// Pure for any number of threads.
StepTraffic count_resident_parts(std::span<const RoutedPart> parts, const RankMap& ranks,
                                 std::span<const ReplicaChoice> replicas, bool needs_distinct,
                                 int threads);

}  // namespace moesim
