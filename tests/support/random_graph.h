// Seeded task graphs for the backends' tests: micro-batches of chains and coflows that overlap on
// devices and on links.
#pragma once

#include <cstdint>

#include "sim/flow/task_graph.h"

namespace moesim::test {

struct RandomGraphLimits {
  int devices = 6;
  int micro_batches = 3;
  int layers = 6;
  int segments = 6;  // of one chain
};

// Half of the graphs use few distinct sizes and latencies, so that many things happen at once.
TaskGraph random_graph(std::uint64_t seed, const RandomGraphLimits& limits = {});

}  // namespace moesim::test
