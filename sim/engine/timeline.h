// A step as Chrome trace JSON, which Perfetto and chrome://tracing open.
#pragma once

#include <string>

#include "sim/engine/lowered_step.h"
#include "sim/flow/backend.h"

namespace moesim {

// One process per node with one thread per device, and one process "network" whose threads are the
// kinds of collectives. Every kernel is one complete event ("X"), times in microseconds, with
// category, layer and wait for predecessors in its args. `result` must hold segment ends.
std::string timeline_json(const LoweredStep& step, const RunResult& result, int devices_per_node);

}  // namespace moesim
