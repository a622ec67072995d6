// A communication kernel takes half of a device's rate while it runs; the device has it back then.
#include <catch2/catch.hpp>
#include <vector>

#include "sim/flow/backend.h"
#include "sim/flow/live_run.h"

namespace moesim::test {
namespace {

constexpr std::int32_t compute = 0;
constexpr std::int32_t link = 1;

const std::vector<Resource> machine = {{"compute", ResourceKind::compute, 1.0},
                                       {"link", ResourceKind::link, 50e9}};

// A chain of kernels of 1 ms each, and a transfer of 4 ms that may start at 2.5 ms.
TaskGraph overlap(bool interferes) {
  TaskGraph graph;
  graph.resources = machine;
  const ProgramId chain = graph.begin_program();
  for (int i = 0; i < 10; ++i) {
    graph.add_segment(0.0, std::vector<Need>{{compute, 1e-3}});
  }
  const ProgramId transfer = graph.begin_program();
  graph.add_segment(0.0, std::vector<Need>{{link, 200e6}});
  if (interferes) {
    graph.add_hold({compute, 0.5});
  }
  graph.add_task({.program = chain}, {});
  graph.add_task({.program = transfer}, {}, {.not_before_s = 2.5e-3});
  return graph;
}

TEST_CASE("a kernel loses what a communication kernel holds, and no more", "[flow][interface]") {
  const RunResult apart = make_fast_backend()->run(overlap(false), true);
  CHECK(apart.tasks[0].end_s == Approx(10e-3));
  const RunResult together = make_fast_backend()->run(overlap(true), true);
  CHECK(together.tasks[1].end_s == Approx(6.5e-3));
  // 4 ms at half the rate are 2 ms of work.
  CHECK(together.tasks[0].end_s == Approx(12e-3));
  CHECK(together.segment_ends_s[1] == Approx(2e-3));
  CHECK(together.segment_ends_s[2] == Approx(3.5e-3));
  CHECK(together.segment_ends_s[3] == Approx(5.5e-3));
  // One event at its begin and one at its end, not one per kernel.
  CHECK(together.events <= apart.events + 2);
}

TEST_CASE("holds of two communication kernels add up", "[flow][interface]") {
  TaskGraph graph = overlap(true);
  const ProgramId second = graph.begin_program();
  graph.add_segment(2e-3, {});
  graph.add_hold({compute, 0.25});
  graph.add_task({.program = second}, {}, {.not_before_s = 2.5e-3});
  // 2 ms at a quarter and 2 ms at a half.
  CHECK(make_fast_backend()->run(graph, false).tasks[0].end_s == Approx(12.5e-3));
}

TEST_CASE("a device that fails stands still until it is back", "[flow][interface]") {
  LiveRun run;
  run.add_resource(machine[0]);
  const ProgramId program = run.begin_program();
  run.add_segment(0.0, std::vector<Need>{{compute, 10e-3}});
  const TaskId kernel = run.submit({.program = program});
  CHECK(run.advance(4e-3).empty());
  run.set_rate(compute, 0.0);
  CHECK(run.advance(1.0).empty());
  CHECK(run.progress(kernel).service_left == Approx(0.6));
  run.set_rate(compute, 0.5);
  CHECK(run.advance().size() == 1);
  CHECK(run.times(kernel).end_s == Approx(1.0 + 12e-3));
}

}  // namespace
}  // namespace moesim::test
