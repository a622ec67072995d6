// Tokens that stay with their last expert: context-coherent expert parallelism (ExFlow,
// arXiv:2401.08383). A token starts at its home rank. In every layer its copies go from where it
// rests to its experts; then it rests with the first of them (its best, if gate order or weights
// are known), and the others' results travel there. Without replicas, and with one expert per
// token, that is one transfer per layer that changes the rank, and none back.
#pragma once

#include "sim/engine/step_traffic.h"

namespace moesim {

// The same tokens as count_step would draw. Decode steps only. Pure for any number of threads.
StepTraffic count_resident_step(const RoutingSource& source, const Workload& workload,
                                const Parallelism& parallelism, const ExpertGroups& groups,
                                const ExpertPlacement& placement, std::span<const int> node_of_unit,
                                int ffn_experts, bool needs_distinct, std::uint64_t seed,
                                int threads);

}  // namespace moesim
