// Seeded runs in which something is decided: executors and priorities, dates, cancellations,
// changes of rates, holds.
#pragma once

#include <cstdint>

#include "sim/flow/live_run.h"
#include "sim/flow/task_graph.h"

namespace moesim::test {

// random_graph(seed) with rules for its tasks and with actions.
TaskGraph random_decisions(std::uint64_t seed);

// A policy that submits, cancels and changes rates when tasks end and at dates, until all has
// ended.
void run_random_policy(LiveRun& run, std::uint64_t seed);

}  // namespace moesim::test
