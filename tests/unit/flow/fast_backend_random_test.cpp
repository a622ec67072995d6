// The fast backend against the obvious engine, on random graphs.
#include <algorithm>
#include <catch2/catch.hpp>

#include "sim/flow/backend.h"
#include "sim/flow/crosscheck.h"
#include "tests/support/random_graph.h"
#include "tests/support/reference_engine.h"

namespace moesim::test {
namespace {

struct Shapes {
  int graphs = 0;
  int contended = 0;
  int repeated = 0;
  int tied = 0;
  int quiet = 0;  // no contention at all
};

void check_seed(std::uint64_t seed, const RandomGraphLimits& limits, Shapes& shapes) {
  CAPTURE(seed);
  const TaskGraph graph = random_graph(seed, limits);
  const ReferenceRun reference = run_reference(graph);
  const RunResult fast = make_fast_backend()->run(graph, true);
  const CrosscheckResult difference = compare_runs(fast, reference.result);
  CAPTURE(difference.largest_absolute_s, difference.absolute_task);
  CHECK(difference.largest_relative < 1e-11);
  CHECK(fast.makespan_s == Approx(reference.result.makespan_s).epsilon(1e-11));

  double largest_segment_difference_s = 0.0;
  REQUIRE(fast.segment_ends_s.size() == reference.result.segment_ends_s.size());
  for (std::size_t i = 0; i < fast.segment_ends_s.size(); ++i) {
    largest_segment_difference_s =
        std::max(largest_segment_difference_s,
                 std::abs(fast.segment_ends_s[i] - reference.result.segment_ends_s[i]));
  }
  CHECK(largest_segment_difference_s <= 1e-11 * fast.makespan_s);

  ++shapes.graphs;
  shapes.contended += reference.contended_steps > 0 ? 1 : 0;
  shapes.quiet += reference.contended_steps == 0 ? 1 : 0;
  shapes.repeated += reference.repeated_rounds > 0 ? 1 : 0;
  shapes.tied += reference.tied_ends > 0 ? 1 : 0;
}

TEST_CASE("the fast backend agrees with the obvious engine", "[flow][property]") {
  Shapes shapes;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    check_seed(seed, {}, shapes);
  }
  for (std::uint64_t seed = 1000; seed < 1020; ++seed) {
    check_seed(seed, {.devices = 24, .micro_batches = 4, .layers = 10, .segments = 8}, shapes);
  }
  // The interesting shapes were drawn.
  CHECK(shapes.contended >= shapes.graphs / 2);
  CHECK(shapes.repeated >= shapes.graphs / 3);
  CHECK(shapes.tied >= shapes.graphs / 4);
  CHECK(shapes.quiet >= 20);
}

}  // namespace
}  // namespace moesim::test
