// The fast backend against SimGrid.
#include "sim/simgrid/simgrid_backend.h"

#include <catch2/catch.hpp>

#include "sim/engine/crosscheck.h"
#include "tests/support/random_graph.h"
#include "tests/support/reference_engine.h"

namespace moesim::test {
namespace {

TEST_CASE("fast and simgrid agree on random overlapping graphs", "[simgrid][crosscheck]") {
  const auto fast = make_fast_backend();
  const auto simgrid = make_simgrid_backend();
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = random_graph(seed);
    const CrosscheckResult difference =
        compare_runs(fast->run(graph, false), simgrid->run(graph, false));
    CAPTURE(difference.largest_absolute_s, difference.absolute_task, difference.largest_relative);
    CHECK(difference.agrees);
    CHECK(difference.largest_relative < 1e-11);
  }
}

}  // namespace
}  // namespace moesim::test
