// Related graphs, for metamorphic tests.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/flow/task_graph.h"

namespace moesim::test {

struct GraphEdit {
  std::vector<std::int32_t> new_resource_ids{};  // by old id; empty: unchanged
  double rate_factor = 1.0;
  double latency_factor = 1.0;
};

// Appends `from`, edited, to `to`: its resources with new ids behind those of `to`, its tasks
// behind the tasks. Programs are not shared any more.
void append(TaskGraph& to, const TaskGraph& from, const GraphEdit& edit = {});

}  // namespace moesim::test
