#include "sim/engine/results/device_time.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "tests/unit/engine/hand_made_step.h"

namespace moesim {
namespace {

double given(const MeanDevice& mean, Category category) {
  return mean.busy_s.at(static_cast<std::size_t>(category));
}

double total(const MeanDevice& mean) {
  return std::accumulate(mean.busy_s.begin(), mean.busy_s.end(), mean.waiting_s);
}

// Kernels on streams 0 .. 3, communication on 4 and 5, all of whole seconds.
HandMadeStep random_step(std::uint64_t seed) {
  Rng rng(seed);
  HandMadeStep hand(3, {{0}, {1}, {2}, {0}, {0, 1, 2}, {1, 2}});
  std::vector<TaskId> last(6, -1);
  for (TaskId i = 0; i < 40; ++i) {
    const auto stream = static_cast<std::size_t>(rng.below(last.size()));
    std::vector<TaskId> after;
    if (last[stream] >= 0) {
      after.push_back(last[stream]);
    }
    if (i > 0 && rng.below(2) == 0) {
      after.push_back(static_cast<TaskId>(rng.below(static_cast<std::uint64_t>(i))));
    }
    after.erase(std::ranges::unique(after).begin(), after.end());
    const Category category = stream < 4 ? Category::experts : Category::dispatch;
    last[stream] = hand.task(static_cast<StreamId>(stream),
                             {{category, static_cast<double>(1 + rng.below(9))}}, after);
  }
  return hand;
}

DeviceTime counted(const LoweredStep& step, const RunResult& result, std::int32_t device) {
  DeviceTime time;
  for (double second = 0.0; second < result.makespan_s; second += 1.0) {
    bool kernel = false;
    bool communication = false;
    for (std::size_t id = 0; id < result.tasks.size(); ++id) {
      const StreamId stream = step.graph.tasks()[id].stream;
      const auto& on = step.stream_devices[static_cast<std::size_t>(stream)];
      if (std::ranges::find(on, device) != on.end() && result.tasks[id].start_s <= second &&
          result.tasks[id].end_s > second) {
        (stream < 4 ? kernel : communication) = true;
      }
    }
    time.busy_s += kernel || communication ? 1.0 : 0.0;
    time.kernels_s += kernel ? 1.0 : 0.0;
    time.hidden_s += kernel && communication ? 1.0 : 0.0;
  }
  return time;
}

}  // namespace

TEST_CASE("two full streams of a device are busy for the whole step, once", "[results][unit]") {
  HandMadeStep hand(1, {{0}, {0}});
  hand.task(0, {{Category::attention, 3.0}});
  hand.task(0, {{Category::experts, 5.0}}, {0});
  hand.task(1, {{Category::dense_ffn, 8.0}});
  const RunResult result = hand.run();
  REQUIRE(result.makespan_s == 8.0);
  const TimeUse use = time_use(hand.step, result);
  CHECK(use.devices[0].busy_s == 8.0);
  CHECK(use.devices[0].kernels_s == 8.0);
  CHECK(use.devices[0].idle_s == 0.0);
  const MeanDevice mean = mean_device(hand.step, result);
  CHECK(mean.waiting_s == 0.0);
  CHECK(mean.kernels_s == 8.0);  // what the device draws power for
  CHECK(given(mean, Category::attention) == 1.5);
  CHECK(given(mean, Category::experts) == 2.5);
  CHECK(given(mean, Category::dense_ffn) == 4.0);
}

// attention 0..4 | experts 6..9 on the device, dispatch 2..6 beside them, makespan 9.
TEST_CASE("communication gets the time that it exposes", "[results][unit]") {
  HandMadeStep hand(1, {{0}, {0}});
  const TaskId first = hand.task(0, {{Category::embedding, 2.0}});
  hand.task(0, {{Category::attention, 2.0}}, {first});
  const TaskId dispatch = hand.task(1, {{Category::dispatch, 4.0}}, {first});
  hand.task(0, {{Category::experts, 3.0}}, {dispatch});
  const RunResult result = hand.run();
  REQUIRE(result.makespan_s == 9.0);
  const MeanDevice mean = mean_device(hand.step, result);
  CHECK(given(mean, Category::dispatch) == 2.0);
  CHECK(given(mean, Category::attention) == 2.0);
  CHECK(mean.hidden_communication_s == 2.0);
  CHECK(mean.hidden_s.at(static_cast<std::size_t>(Category::dispatch))
            .at(static_cast<std::size_t>(Category::attention)) == 2.0);
  CHECK(mean.kernels_s == 7.0);
  CHECK(mean.waiting_s == 0.0);
  CHECK(total(mean) == 9.0);
}

// Device 0 works 2 s, device 1 works 6 s, both combine for 1 s, device 1 alone goes on for 1 s.
TEST_CASE("gaps before, between and after tasks are waiting", "[results][unit]") {
  HandMadeStep hand(2, {{0}, {1}, {0, 1}});
  const TaskId a = hand.task(0, {{Category::experts, 2.0}});
  const TaskId b = hand.task(1, {{Category::experts, 6.0}});
  const TaskId both = hand.task(2, {{Category::combine, 1.0}}, {a, b});
  hand.task(1, {{Category::attention, 0.25}, {Category::router, 0.75}}, {both});
  const RunResult result = hand.run();
  REQUIRE(result.makespan_s == 8.0);
  const TimeUse use = time_use(hand.step, result);
  CHECK(use.devices[0].idle_s == 5.0);
  CHECK(use.devices[0].busy_s == 3.0);
  CHECK(use.devices[1].idle_s == 0.0);
  const MeanDevice mean = mean_device(hand.step, result);
  CHECK(given(mean, Category::experts) == 4.0);
  CHECK(given(mean, Category::combine) == 1.0);
  CHECK(given(mean, Category::attention) == 0.125);
  CHECK(given(mean, Category::router) == 0.375);
  CHECK(mean.kernels_s == 4.5);
  CHECK(mean.waiting_s == 2.5);
}

// Against a count over seconds: with integer times the union of intervals is a set of seconds.
TEST_CASE("idle and busy time of random streams add up", "[results][property]") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const HandMadeStep hand = random_step(seed);
    const RunResult result = hand.run();
    const TimeUse use = time_use(hand.step, result);
    for (int d = 0; d < hand.step.devices; ++d) {
      CAPTURE(seed, d);
      const DeviceTime expected = counted(hand.step, result, d);
      const DeviceTime& time = use.devices[static_cast<std::size_t>(d)];
      CHECK(time.busy_s == expected.busy_s);
      CHECK(time.kernels_s == expected.kernels_s);
      CHECK(time.hidden_s == expected.hidden_s);
      CHECK(time.busy_s + time.idle_s == result.makespan_s);
    }
    const MeanDevice mean = mean_device(hand.step, result);
    CHECK(total(mean) == Approx(result.makespan_s).epsilon(1e-12));
    double hidden = 0.0;
    for (const auto& under : mean.hidden_s) {
      hidden += std::accumulate(under.begin(), under.end(), 0.0);
    }
    CHECK(hidden == Approx(mean.hidden_communication_s).epsilon(1e-12));
  }
}

TEST_CASE("a task beyond the makespan is an error", "[results][unit]") {
  HandMadeStep hand(1, {{0}});
  hand.task(0, {{Category::experts, 2.0}});
  RunResult result = hand.run();
  result.makespan_s = 1.0;
  CHECK_THROWS_AS(time_use(hand.step, result), InvariantError);
}

}  // namespace moesim
