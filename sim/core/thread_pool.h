// Deterministic data parallelism: results are stored by index, so the number of threads cannot
// change them.
#pragma once

#include <cstddef>
#include <functional>

namespace moesim {

// Calls body(i) once for every i in [0, count), on up to `threads` threads (the caller's
// included). body must only write what belongs to index i. The exception of the lowest failing
// index is rethrown after all threads have stopped.
void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& body);

}  // namespace moesim
