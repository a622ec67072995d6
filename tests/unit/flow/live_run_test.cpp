// What a live run promises at its edges; random runs are in decisions_test.cpp.
#include "sim/flow/live_run.h"

#include <catch2/catch.hpp>
#include <vector>

#include "sim/core/error.h"

namespace moesim::test {
namespace {

class Bench {
 public:
  Bench() { run.add_resource({"device", ResourceKind::compute, 1.0}); }
  TaskId kernel(double seconds, const std::vector<TaskId>& after = {}, const Rules& rules = {}) {
    const ProgramId program = run.begin_program();
    run.add_segment(0.0, std::vector<Need>{{0, seconds}});
    return run.submit({.program = program}, after, rules);
  }
  LiveRun run;
};

TEST_CASE("a cancelled task that waits keeps the order of the others", "[flow][unit]") {
  Bench bench;
  const TaskId first = bench.kernel(2.0);
  const TaskId second = bench.kernel(5.0, {first});
  const TaskId third = bench.kernel(1.0, {second});
  CHECK(bench.run.advance(1.0).empty());
  bench.run.cancel(second);
  CHECK(bench.run.advance().size() == 2);  // the first, and with it the second
  CHECK(bench.run.times(second).start_s == 2.0);
  CHECK(bench.run.times(second).end_s == 2.0);
  bench.run.cancel(first);  // it has ended: nothing happens
  CHECK_FALSE(bench.run.is_cancelled(first));
  CHECK(bench.run.advance().size() == 1);
  CHECK(bench.run.times(third).end_s == 3.0);
  CHECK(bench.run.advance().empty());
}

TEST_CASE("what is submitted at an instant competes with what waits then", "[flow][unit]") {
  Bench bench;
  const ExecutorId executor = bench.run.add_executor();
  const TaskId running = bench.kernel(1.0, {}, {.executor = executor});
  const TaskId waits = bench.kernel(1.0, {}, {.executor = executor});
  CHECK(bench.run.advance().front() == running);
  const TaskId urgent = bench.kernel(1.0, {}, {.executor = executor, .priority = 1});
  CHECK(bench.run.advance().front() == urgent);
  CHECK(bench.run.has_started(urgent));
  CHECK_FALSE(bench.run.has_started(waits));
  CHECK(bench.run.advance().front() == waits);
}

TEST_CASE("a live run says when it makes no sense", "[flow][unit]") {
  Bench bench;
  const TaskId task = bench.kernel(1.0);
  CHECK_THROWS_AS(bench.run.cancel(task + 1), InvariantError);
  CHECK_THROWS_AS(bench.run.times(-1), InvariantError);
  CHECK_THROWS_AS(bench.run.set_rate(1, 1.0), InvariantError);
  CHECK_THROWS_AS(bench.run.set_rate(0, -1.0), InvariantError);
  CHECK_THROWS_AS(bench.run.progress(task), InvariantError);  // not started
  CHECK_THROWS_AS(bench.run.record(), InvariantError);        // not ended
  bench.run.set_rate(0, 0.0);
  CHECK(bench.run.advance(1.0).empty());
  CHECK_THROWS_AS(bench.run.advance(), InvariantError);  // for ever
  CHECK_THROWS_AS(LiveRun(LiveRun::Recording::off).record(), InvariantError);
}

TEST_CASE("a graph in which something stands still for ever is refused", "[flow][unit]") {
  TaskGraph graph;
  graph.resources = {{"device", ResourceKind::compute, 1.0}};
  const ProgramId program = graph.begin_program();
  graph.add_segment(0.0, std::vector<Need>{{0, 2.0}});
  const ProgramId nothing = graph.begin_program();
  graph.add_task({.program = program}, {});
  const TaskId failure = graph.add_task({.program = nothing}, {}, {.not_before_s = 1.0});
  graph.set_rate_after(failure, 0, 0.0);
  CHECK_THROWS_AS(make_fast_backend()->run(graph, false), InvariantError);
  const TaskId repair = graph.add_task({.program = nothing}, {}, {.not_before_s = 3.0});
  graph.set_rate_after(repair, 0, 1.0);
  CHECK(make_fast_backend()->run(graph, false).tasks[0].end_s == 4.0);
}

}  // namespace
}  // namespace moesim::test
