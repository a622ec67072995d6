// A step as Chrome trace JSON, which Perfetto and chrome://tracing open.
#pragma once

#include <string>

#include "sim/engine/lowered_step.h"
#include "sim/flow/backend.h"

namespace moesim {

// One process per node with one thread per stream of each device, and one process "network" with
// one thread per stream of several devices (collectives of one kind and group). Every kernel is one
// complete event ("X"), times in microseconds, with its category, and its layer in `args`. `result`
// must hold segment ends.
std::string timeline_json(const LoweredStep& step, const RunResult& result, int devices_per_node);

}  // namespace moesim
