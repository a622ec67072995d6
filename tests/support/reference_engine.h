// The obvious engine: at every event it shares all resources among all live segments anew. Slow,
// and right by reading; the backends are compared with it.
#pragma once

#include "sim/flow/backend.h"

namespace moesim::test {

struct ReferenceRun {
  RunResult result;
  // What the graph's run was like, so that tests can tell that it was interesting.
  int contended_steps = 0;     // steps in which two live segments shared a resource
  int repeated_rounds = 0;     // steps whose sharing took more than one round
  int tied_ends = 0;           // steps that ended two segments or latencies at once
  double largest_use = 0.0;    // of any resource in any step, as a fraction of its rate
  std::vector<double> served;  // by resource, in its units, over the whole run
};

ReferenceRun run_reference(const TaskGraph& graph);

}  // namespace moesim::test
