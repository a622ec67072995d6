// The fast backend against SimGrid.
#include "sim/simgrid/simgrid_backend.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <csignal>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/thread_pool.h"
#include "sim/flow/crosscheck.h"
#include "sim/simgrid/child_process.h"
#include "tests/support/random_decisions.h"
#include "tests/support/random_graph.h"
#include "tests/support/reference_engine.h"

namespace moesim::test {
namespace {

// g++ 12's AddressSanitizer does not free its allocator's locks in a child that is forked beside
// other threads, which then hangs at its first allocation.
#if defined(__SANITIZE_ADDRESS__)
constexpr int side_by_side = 1;
#else
constexpr int side_by_side = 4;
#endif

struct Shapes {
  int contended_steps = 0;
  int repeated_rounds = 0;
  int tied_ends = 0;
};

void check_graph(const TaskGraph& graph) {
  const RunResult fast = make_fast_backend()->run(graph, true);
  const RunResult simgrid = make_simgrid_backend()->run(graph, true);
  const CrosscheckResult difference = compare_runs(fast, simgrid);
  CAPTURE(difference.largest_absolute_s, difference.absolute_task, difference.largest_relative);
  CHECK(difference.agrees);
  // The contract is 1e-9; both compute the same with doubles.
  CHECK(difference.largest_relative < 1e-11);
  CHECK(std::abs(fast.makespan_s - simgrid.makespan_s) <= 1e-11 * fast.makespan_s);
  double largest_s = 0.0;
  for (std::size_t i = 0; i < fast.tasks.size(); ++i) {
    largest_s = std::max(largest_s, std::abs(fast.tasks[i].start_s - simgrid.tasks[i].start_s));
  }
  REQUIRE(fast.segment_ends_s.size() == simgrid.segment_ends_s.size());
  for (std::size_t i = 0; i < fast.segment_ends_s.size(); ++i) {
    largest_s = std::max(largest_s, std::abs(fast.segment_ends_s[i] - simgrid.segment_ends_s[i]));
  }
  CHECK(largest_s <= 1e-11 * fast.makespan_s);
}

TEST_CASE("fast and simgrid agree on random overlapping graphs", "[simgrid][crosscheck]") {
  Shapes shapes;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = random_graph(seed);
    check_graph(graph);
    const ReferenceRun reference = run_reference(graph);
    shapes.contended_steps += reference.contended_steps;
    shapes.repeated_rounds += reference.repeated_rounds;
    shapes.tied_ends += reference.tied_ends;
  }
  // The interesting shapes were drawn.
  CHECK(shapes.contended_steps > 4000);
  CHECK(shapes.repeated_rounds > 4000);
  CHECK(shapes.tied_ends > 400);
}

// Executors with priorities, dates, cancellations, changes of rates (to nothing and back), holds.
TEST_CASE("fast and simgrid agree on graphs with decisions", "[simgrid][crosscheck]") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = random_decisions(seed);
    const RunResult fast = make_fast_backend()->run(graph, true);
    const RunResult simgrid = make_simgrid_backend()->run(graph, true);
    const CrosscheckResult difference = compare_runs(fast, simgrid);
    CAPTURE(difference.largest_absolute_s, difference.absolute_task, difference.largest_relative);
    CHECK(difference.agrees);
    CHECK(difference.largest_relative < 1e-10);
  }
}

TEST_CASE("simgrid replays the records of live runs", "[simgrid][crosscheck]") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    LiveRun live;
    run_random_policy(live, seed);
    const Record record = live.record();
    const RunResult simgrid = make_simgrid_backend()->run(record.graph, false);
    RunResult fast;
    RunResult replay;
    for (std::size_t i = 0; i < record.ids.size(); ++i) {
      fast.tasks.push_back(live.times(static_cast<TaskId>(i)));
      replay.tasks.push_back(simgrid.tasks[static_cast<std::size_t>(record.ids[i])]);
    }
    const CrosscheckResult difference = compare_runs(fast, replay);
    CAPTURE(difference.largest_absolute_s, difference.absolute_task, difference.largest_relative);
    CHECK(difference.agrees);
  }
}

TEST_CASE("fast and simgrid agree on larger graphs", "[simgrid][crosscheck]") {
  for (std::uint64_t seed = 1000; seed < 1008; ++seed) {
    CAPTURE(seed);
    check_graph(
        random_graph(seed, {.devices = 24, .micro_batches = 4, .layers = 10, .segments = 8}));
  }
}

// SimGrid 3.32 charges a resource again for segments that are done; tests of the fast backend
// derive the numbers.
TEST_CASE("simgrid charges a finished segment's last increment again", "[simgrid][crosscheck]") {
  TaskGraph graph;
  graph.resources.resize(3);
  const std::vector<std::vector<Need>> needs = {
      {{2, 1.0}, {0, 0.1}}, {{0, 1.0}, {1, 2.5}}, {{0, 1.0}}};
  for (const auto& one : needs) {
    const ProgramId program = graph.begin_program();
    graph.add_segment(0.0, one);
    graph.add_task({.program = program}, {});
  }
  const RunResult result = make_simgrid_backend()->run(graph, false);
  CHECK(result.tasks[0].end_s == Approx(1.0).epsilon(1e-12));
  CHECK(result.tasks[1].end_s == Approx(2.5).epsilon(1e-12));
  CHECK(result.tasks[2].end_s == Approx(1.0 + 0.55 / 0.6).epsilon(1e-12));
}

TEST_CASE("simgrid runs side by side and repeats itself", "[simgrid][crosscheck]") {
  constexpr std::size_t runs = 8;
  std::vector<RunResult> results(runs);
  parallel_for(runs, side_by_side, [&](std::size_t i) {
    results[i] = make_simgrid_backend()->run(random_graph(i % 4), false);
  });
  for (std::size_t i = 0; i < runs / 2; ++i) {
    CHECK(compare_runs(results[i], results[i + 4]).largest_absolute_s == 0.0);
    CHECK(results[i].segment_ends_s.empty());
  }
}

TEST_CASE("graphs that take no time are over at once in simgrid", "[simgrid][crosscheck]") {
  check_graph(TaskGraph{});
  TaskGraph graph;
  const ProgramId program = graph.begin_program();
  const TaskId first = graph.add_task({.program = program}, {});
  graph.add_task({.program = program}, std::vector{first});
  check_graph(graph);
}

TEST_CASE("a failing child is an error that says why", "[simgrid][unit]") {
  TaskGraph graph;
  const ProgramId program = graph.begin_program();
  graph.add_segment(0.0, std::vector<Need>{{3, 1.0}});
  graph.add_task({.program = program}, {});
  CHECK_THROWS_WITH(make_simgrid_backend()->run(graph, false),
                    Catch::Contains("a task's resources exist"));
  CHECK_THROWS_AS(make_simgrid_backend()->run(graph, false), InvariantError);
  CHECK_THROWS_WITH(detail::run_in_child([] { std::raise(SIGKILL); }),
                    Catch::Contains("killed by signal 9"));
}

}  // namespace
}  // namespace moesim::test
