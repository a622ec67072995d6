#include "sim/flow/task_graph.h"

#include <catch2/catch.hpp>
#include <limits>

#include "sim/core/error.h"

namespace moesim::test {
namespace {

TEST_CASE("a program knows what it touches and how long it takes alone", "[flow][unit]") {
  TaskGraph graph;
  const ProgramId first = graph.begin_program();
  graph.add_segment(1.0, std::vector<Need>{{3, 2.0}, {0, 5.0}});
  graph.add_segment(0.5, std::vector<Need>{{0, 1.0}, {7, 0.25}});
  const ProgramId second = graph.begin_program();
  graph.add_segment(0.0, std::vector<Need>{{7, 4.0}});
  const ProgramId empty = graph.begin_program();

  const auto touched = [&](ProgramId id) {
    return std::vector(graph.touched(id).begin(), graph.touched(id).end());
  };
  CHECK(touched(first) == std::vector<std::int32_t>{3, 0, 7});
  CHECK(touched(second) == std::vector<std::int32_t>{7});
  CHECK(touched(empty).empty());
  CHECK(graph.unit_rate_duration_s(first) == 1.0 + 5.0 + 0.5 + 1.0);
  CHECK(graph.unit_rate_duration_s(empty) == 0.0);
  REQUIRE(graph.segments(first).size() == 2);
  CHECK(graph.needs(graph.segments(first)[1])[1].amount == 0.25);
  CHECK(graph.segments(empty).empty());
}

TEST_CASE("tasks follow their predecessors, labels are shared", "[flow][unit]") {
  TaskGraph graph;
  const ProgramId program = graph.begin_program();
  const TaskId a = graph.add_task({.program = program, .label = graph.label("x")}, {});
  const TaskId b = graph.add_task({.program = program, .label = graph.label("y")}, {});
  const TaskId c =
      graph.add_task({.program = program, .label = graph.label("x")}, std::vector{a, b});
  CHECK(graph.tasks()[0].label == graph.tasks()[2].label);
  CHECK(graph.labels() == std::vector<std::string>{"x", "y"});
  const auto before = graph.predecessors(graph.tasks()[static_cast<std::size_t>(c)]);
  CHECK(std::vector(before.begin(), before.end()) == std::vector{a, b});
}

TEST_CASE("tasks in order wait for the last of their stream", "[flow][unit]") {
  TaskGraph graph;
  const ProgramId program = graph.begin_program();
  const auto add = [&](StreamId stream, const std::vector<TaskId>& before) {
    return graph.add_task_in_order({.program = program, .stream = stream}, before);
  };
  const TaskId a = add(0, {});
  const TaskId other = add(1, {a});
  const TaskId b = add(0, {a});
  const TaskId c = add(0, {other});
  const auto before = [&](TaskId id) {
    const auto span = graph.predecessors(graph.tasks()[static_cast<std::size_t>(id)]);
    return std::vector(span.begin(), span.end());
  };
  CHECK(before(a).empty());
  CHECK(before(b) == std::vector{a});
  CHECK(before(c) == std::vector{other, b});
}

TEST_CASE("a task graph refuses what makes no sense", "[flow][unit]") {
  TaskGraph graph;
  const auto add = [&](double latency_s, const std::vector<Need>& needs) {
    graph.add_segment(latency_s, needs);
  };
  CHECK_THROWS_AS(add(0, {}), InvariantError);  // no program yet
  const ProgramId program = graph.begin_program();
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(add(-1e-9, {}), InvariantError);
  CHECK_THROWS_AS(add(nan, {}), InvariantError);
  CHECK_THROWS_AS(add(infinity, {}), InvariantError);
  CHECK_THROWS_AS(add(0, {{0, 0.0}}), InvariantError);
  CHECK_THROWS_AS(add(0, {{0, nan}}), InvariantError);
  CHECK_THROWS_AS(add(0, {{0, infinity}}), InvariantError);
  CHECK_THROWS_AS(add(0, {{-1, 1.0}}), InvariantError);
  CHECK_THROWS_AS(add(0, {{4, 1.0}, {5, 1.0}, {4, 1.0}}), InvariantError);
  CHECK_THROWS_AS(graph.add_task({.program = program + 1}, {}), InvariantError);
  CHECK_THROWS_AS(graph.add_task({.program = program}, std::vector<TaskId>{0}), InvariantError);
  CHECK_THROWS_AS(graph.add_task({.program = program}, {}, {.executor = 0}), InvariantError);
  CHECK_THROWS_AS(graph.add_task({.program = program}, {}, {.not_before_s = -1.0}), InvariantError);
  CHECK_THROWS_AS(graph.add_task({.program = program}, {}, {.not_before_s = nan}), InvariantError);
  CHECK_THROWS_AS(graph.add_task_in_order({.program = program, .stream = -1}, {}), InvariantError);
  CHECK_THROWS_AS(graph.add_hold({0, 0.0}), InvariantError);
  CHECK_THROWS_AS(graph.add_hold({0, 1.5}), InvariantError);
  CHECK_THROWS_AS(graph.set_rate_after(0, 0, 1.0), InvariantError);  // no task yet
  graph.resources.resize(1);
  const TaskId task = graph.add_task({.program = program}, {});
  CHECK_THROWS_AS(graph.set_rate_after(task, 1, 1.0), InvariantError);
  CHECK_THROWS_AS(graph.set_rate_after(task, 0, -1.0), InvariantError);
  CHECK_THROWS_AS(graph.set_rate_after(task, 0, infinity), InvariantError);
  CHECK_THROWS_AS(graph.cancel_after(task, task + 1), InvariantError);
}

}  // namespace
}  // namespace moesim::test
