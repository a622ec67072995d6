#include "calibrate/cpu/measured_time.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "calibrate/cpu/lost_time.h"
#include "sim/core/rng.h"

using namespace moesim;

TEST_CASE("what a thread lost is told from its clocks", "[calibrate_cpu][unit]") {
  const ThreadClock before{7, 2, 0.5, 3.0};
  // Ran all the time.
  LostTime lost = lost_between(before, {7, 2, 0.5, 3.01}, 0.01);
  CHECK(lost.stolen_s == Approx(0.0).margin(1e-9));
  CHECK(is_undisturbed(lost, 0.01));
  // Preempted: the other ran for 4 ms.
  lost = lost_between(before, {8, 2, 0.504, 3.006}, 0.01);
  CHECK(lost.preempted == 1);
  CHECK(lost.delayed_s == Approx(0.004));
  CHECK(lost.stolen_s == Approx(0.0).margin(1e-9));
  CHECK_FALSE(is_undisturbed(lost, 0.01));
  // The hypervisor took 1 ms: no switch, no run delay, less processor time.
  lost = lost_between(before, {7, 2, 0.5, 3.009}, 0.01);
  CHECK(lost.stolen_s == Approx(0.001));
  CHECK_FALSE(is_undisturbed(lost, 0.01));
  // A thread that waits for a device loses nothing by that.
  lost = lost_between(before, {7, 3, 0.5, 3.002}, 0.01);
  CHECK(is_undisturbed(lost, 0.01));
  // But it does if another one runs when the device is ready.
  lost = lost_between(before, {7, 3, 0.501, 3.002}, 0.01);
  CHECK_FALSE(is_undisturbed(lost, 0.01));
  // What reading the clocks takes is no disturbance of a short window.
  lost = lost_between(before, {7, 2, 0.5, 3.0000046}, 5e-6);
  CHECK(is_undisturbed(lost, 5e-6));
}

TEST_CASE("run delay and stolen ticks are read from the kernel's texts", "[calibrate_cpu][unit]") {
  CHECK(parse_run_delay_s("123456 7000000 42\n") == Approx(0.007));
  CHECK(parse_run_delay_s("") == 0.0);
  const std::string_view stat =
      "cpu  10 0 5 900 4 0 1 60 0 0\n"
      "cpu0 5 0 2 450 2 0 1 20 0 0\n"
      "cpu1 5 0 3 450 2 0 0 40 0 0\n"
      "cpu10 5 0 3 450 2 0 0 4000 0 0\n"
      "intr 1234\n";
  CHECK(parse_stolen_ticks(stat, std::vector<int>{0}) == 20);
  CHECK(parse_stolen_ticks(stat, std::vector<int>{0, 1}) == 60);
  CHECK(parse_stolen_ticks("cpu0 1 2\n", std::vector<int>{0}) == 0);
}

TEST_CASE("this thread's clocks run forward", "[calibrate_cpu][unit]") {
  const ThreadClockReader reader;
  const ThreadClock before = reader.read();
  const ThreadClock after = reader.read();
  CHECK(after.preempted >= before.preempted);
  CHECK(after.delayed_s >= before.delayed_s);
  CHECK(after.processor_s > before.processor_s);
}

TEST_CASE("the least undisturbed window of every round counts", "[calibrate_cpu][unit]") {
  const std::vector<std::vector<TimedSample>> rounds{
      {{1.2, true}, {1.0, true}, {0.1, false}},
      {{5.0, false}},  // no window of this round was left alone
      {{1.1, true}},
      {{9.0, true}, {1.2, true}, {9.0, true}},
      {{1.3, true}},
      {{1.4, true}}};
  const MeasuredTime time = measured_time(rounds);
  CHECK(time.rounds == 5);
  CHECK(time.windows == 10);
  CHECK(time.undisturbed == 8);
  CHECK(time.seconds == Approx(1.1));  // lower quartile of 1.0, 1.1, 1.2, 1.3, 1.4
  CHECK(time.low_s == Approx(0.9));    // 1.1 lies 0.1 above the least
  CHECK(time.high_s == Approx(1.3));
  CHECK(time.half_width() == Approx(0.2 / 1.1));
  CHECK(measured_time(std::vector<std::vector<TimedSample>>{{{1.0, false}}}).rounds == 0);
}

TEST_CASE("ranks of the quartile's interval follow from the binomial", "[calibrate_cpu][unit]") {
  // P(no value below) = 0.75^n is below 5 % from 11 values on.
  CHECK(quartile_ranks(10).first == -1);
  CHECK(quartile_ranks(11).first == 0);
  // P(more than 2 of 3 below) = 1.6 %; P(more than 1) = 15.6 %.
  CHECK(quartile_ranks(3).last == 2);
  // P(more than 4 of 8 below) = 2.7 %.
  CHECK(quartile_ranks(8).last == 4);
  CHECK(quartile_ranks(1).last == 0);
  for (std::int64_t n = 1; n < 200; ++n) {
    CHECK(quartile_ranks(n).first < quartile_ranks(n).last + (n == 1 ? 1 : 0));
    CHECK(quartile_ranks(n).last < n);
  }
}

// A load that comes and goes for half of the rounds, and takes processors away beside.
TEST_CASE("intervals hold the quiet machine's time", "[calibrate_cpu][property]") {
  const RngStreams streams(7);
  int inside = 0;
  const int runs = 400;
  double width_of_few = 0.0;
  double width_of_many = 0.0;
  for (int run = 0; run < runs; ++run) {
    Rng rng = streams.stream("load", static_cast<std::uint64_t>(run));
    const std::size_t count = run % 2 == 0 ? 6 : 24;
    std::vector<std::vector<TimedSample>> rounds;
    for (std::size_t r = 0; r < count; ++r) {
      const bool loaded = rng.uniform() < 0.5;
      std::vector<TimedSample>& round = rounds.emplace_back();
      for (int w = 0; w < 4; ++w) {
        // Slower by 10 to 30 % beside the load, and sometimes preempted for 50 ms.
        const double own = 1e-3 * (1.0 + 0.02 * rng.uniform());
        const bool taken = loaded && rng.uniform() < 0.6;
        round.push_back(
            {own * (loaded ? 1.1 + 0.2 * rng.uniform() : 1.0) + (taken ? 0.05 : 0.0), !taken});
      }
    }
    const MeasuredTime time = measured_time(rounds);
    REQUIRE(time.rounds > 0);
    CHECK(time.low_s <= time.seconds);
    CHECK(time.seconds <= time.high_s);
    inside += time.low_s <= 1.02e-3 && time.high_s >= 1e-3 ? 1 : 0;
    (count == 6 ? width_of_few : width_of_many) += time.half_width() / (runs / 2.0);
  }
  CHECK(inside > 0.9 * runs);
  CHECK(width_of_many < 0.5 * width_of_few);
}

TEST_CASE("measuring goes on while more than a tenth is wide", "[calibrate_cpu][unit]") {
  const MeasuredTime narrow{1.0, 0.99, 1.01, 5, 5, 5};
  const MeasuredTime wide{1.0, 0.8, 1.3, 5, 5, 5};
  MeasuredTime rarely_seen = narrow;
  rarely_seen.rounds = 2;
  std::vector<MeasuredTime> times(18, narrow);
  times.push_back(wide);
  times.push_back(rarely_seen);
  CHECK(are_narrow(times, 0.02));
  CHECK_FALSE(are_narrow(times, 0.009));
  times[0] = wide;
  CHECK_FALSE(are_narrow(times, 0.02));
}
