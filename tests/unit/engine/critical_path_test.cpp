#include "sim/engine/results/critical_path.h"

#include <catch2/catch.hpp>
#include <numeric>

#include "tests/unit/engine/hand_made_step.h"

namespace moesim {
namespace {

double of(const std::array<double, k_categories>& seconds, Category category) {
  return seconds.at(static_cast<std::size_t>(category));
}

}  // namespace

// 0 (2 s) before 1 (3 s) and 2 (5 s), both before 3 (1 s); 4 (4 s) waits for nobody.
TEST_CASE("the critical path goes back over who ended last", "[results][unit]") {
  HandMadeStep hand(2, {{0}, {1}});
  const TaskId first = hand.task(0, {{Category::attention, 2.0}});
  const TaskId shorter = hand.task(0, {{Category::router, 3.0}}, {first});
  const TaskId longer = hand.task(1, {{Category::experts, 5.0}}, {first});
  const TaskId last = hand.task(0, {{Category::head, 1.0}}, {shorter, longer});
  hand.task(1, {{Category::dense_ffn, 4.0}});
  const RunResult result = hand.run();
  CHECK(critical_path(hand.step.graph, result) ==
        std::vector<PathTask>{{first, WaitedFor::nothing},
                              {longer, WaitedFor::predecessor},
                              {last, WaitedFor::predecessor}});
  const auto seconds = breakdown(hand.step, result);
  CHECK(of(seconds, Category::attention) == 2.0);
  CHECK(of(seconds, Category::router) == 0.0);
  CHECK(of(seconds, Category::experts) == 5.0);
  CHECK(of(seconds, Category::head) == 1.0);
  CHECK(of(seconds, Category::dense_ffn) == 0.0);
}

TEST_CASE("of tasks that end together the first is on the critical path", "[results][unit]") {
  HandMadeStep hand(3, {{0}, {1}, {2}});
  const TaskId a = hand.task(0, {{Category::router, 3.0}});
  const TaskId b = hand.task(1, {{Category::experts, 3.0}});
  const TaskId end = hand.task(2, {{Category::head, 1.0}}, {b, a});
  hand.task(1, {{Category::experts, 1.0}}, {b, a});
  CHECK(critical_path(hand.step.graph, hand.run()) ==
        std::vector<PathTask>{{a, WaitedFor::nothing}, {end, WaitedFor::predecessor}});
}

// Both want the executor at 2 s; the second gets it at 6 s, which its successor at 7 s rests on.
TEST_CASE("the critical path goes over who held the executor", "[results][unit]") {
  HandMadeStep hand(2, {{0}, {1}});
  const ExecutorId executor = hand.step.graph.add_executor();
  const TaskId first = hand.task(0, {{Category::attention, 2.0}});
  const TaskId held = hand.task(0, {{Category::experts, 4.0}}, {first}, 0, {.executor = executor});
  const TaskId waits = hand.task(1, {{Category::router, 1.0}}, {first}, 0, {.executor = executor});
  const TaskId last = hand.task(1, {{Category::head, 1.0}}, {waits});
  const RunResult result = hand.run();
  CHECK(critical_path(hand.step.graph, result) ==
        std::vector<PathTask>{{first, WaitedFor::nothing},
                              {held, WaitedFor::predecessor},
                              {waits, WaitedFor::executor},
                              {last, WaitedFor::predecessor}});
  const auto seconds = breakdown(hand.step, result);
  CHECK(of(seconds, Category::experts) == 4.0);
  CHECK(std::accumulate(seconds.begin(), seconds.end(), 0.0) == result.makespan_s);
}

TEST_CASE("a date that was waited for begins the critical path", "[results][unit]") {
  HandMadeStep hand(1, {{0}});
  const TaskId early = hand.task(0, {{Category::attention, 2.0}});
  const TaskId dated = hand.task(0, {{Category::router, 3.0}}, {early}, 0, {.not_before_s = 10.0});
  const TaskId last = hand.task(0, {{Category::head, 1.0}}, {dated}, 0, {.not_before_s = 5.0});
  const RunResult result = hand.run();
  CHECK(critical_path(hand.step.graph, result) ==
        std::vector<PathTask>{{dated, WaitedFor::date}, {last, WaitedFor::predecessor}});
  const auto seconds = breakdown(hand.step, result);
  CHECK(std::accumulate(seconds.begin(), seconds.end(), 0.0) == result.makespan_s - 10.0);
}

// The chain's kernels take 1 s and 3 s alone, but half of the device is taken by another chain.
TEST_CASE("a task's time is split by what its kernels take alone", "[results][unit]") {
  HandMadeStep hand(1, {{0}});
  hand.task(0, {{Category::attention, 1.0}, {Category::router, 3.0}});
  RunResult slowed = hand.run();
  slowed.tasks[0].end_s = slowed.makespan_s = 10.0;
  const auto seconds = breakdown(hand.step, slowed);
  CHECK(of(seconds, Category::attention) == 2.5);
  CHECK(of(seconds, Category::router) == 7.5);
}

TEST_CASE("kernels that take no time alone share a task's time equally", "[results][unit]") {
  HandMadeStep hand(1, {{0}});
  hand.task(0, {{Category::attention, 0.0}, {Category::router, 0.0}});
  RunResult slowed = hand.run();
  slowed.tasks[0].end_s = slowed.makespan_s = 4.0;
  CHECK(of(breakdown(hand.step, slowed), Category::router) == 2.0);
}

TEST_CASE("an empty step has no critical path", "[results][unit]") {
  const HandMadeStep hand(1, {{0}});
  CHECK(critical_path(hand.step.graph, hand.run()).empty());
}

}  // namespace moesim
