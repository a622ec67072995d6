// What happened in a run, as a static graph that any backend replays.
#pragma once

#include <vector>

#include "sim/flow/backend.h"

namespace moesim {

// Decisions and nothing else: in which order executors took their tasks (as predecessors), what
// was decided when which tasks had ended, or at which date (as actions of tasks without work, each
// after the decision before it), and which tasks were cancelled before they started (as tasks
// without work). No time and no amount that a backend worked out, except that a policy which adds
// to a time it was told has put that into its date: let it wait for a task without needs instead.
struct Record {
  TaskGraph graph;          // no executors, nothing to choose
  std::vector<TaskId> ids;  // task of `graph`, by task of the run
};

// Runs the graph on the fast backend.
Record record_of(const TaskGraph& graph);

// A replay's answer in the ids of the run that was recorded. `original`: its graph. Segments of
// tasks that never started end with their task.
RunResult in_original_ids(const Record& record, const TaskGraph& original, const RunResult& replay);

}  // namespace moesim
