// The reference backend: the same task graphs, run by SimGrid's parallel-task model (ptask_L07).
#pragma once

#include <memory>

#include "sim/flow/backend.h"

namespace moesim {

// SimGrid has one engine per process and cannot be restarted, so every run() forks a child and
// reads its results; runs may go side by side. run() throws InvariantError with SimGrid's words if
// the child fails. Needs POSIX.
std::unique_ptr<Backend> make_simgrid_backend();

}  // namespace moesim
