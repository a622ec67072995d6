// One run of a task graph by SimGrid in this process. SimGrid allows only one per process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sim/flow/backend.h"

namespace moesim::detail {

struct PtaskOutputSizes {
  std::size_t tasks = 0;
  std::size_t segment_ends = 0;
};
PtaskOutputSizes output_sizes(const TaskGraph& graph, bool record_segments);

struct PtaskOutput {
  std::span<TaskTimes> tasks;
  std::span<double> segment_ends_s;  // empty if not wanted
};

// Returns the number of events. Throws InvariantError for a malformed graph.
std::uint64_t run_ptasks(const TaskGraph& graph, const PtaskOutput& output);

}  // namespace moesim::detail
