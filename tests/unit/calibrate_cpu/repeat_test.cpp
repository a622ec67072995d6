#include "calibrate/cpu/repeat.h"

#include <catch2/catch.hpp>
#include <string>

using namespace moesim;

namespace {

// A machine whose clock moves by what runs on it.
struct MadeUpMachine {
  double now = 0.0;
  std::int64_t stolen = 0;
  std::string order;

  Repeated takes(char name, double seconds, bool undisturbed, RepeatLimits limits) {
    return {[this, name, seconds, undisturbed] {
              order += name;
              now += seconds;
              return TimedSample{seconds, undisturbed};
            },
            limits,
            {}};
  }
  SessionHooks hooks() {
    return {{}, nullptr, [this] { return stolen; }, [this] { return now; }};
  }
};

}  // namespace

TEST_CASE("quantiles leave disturbed repeats out while enough others are left",
          "[calibrate_cpu][unit]") {
  std::vector<TimedSample> samples{{1.0, true}, {2.0, true}, {3.0, true}, {100.0, false}};
  CHECK(quantiles(samples).median_s == 2.0);
  CHECK(quantiles(samples).p90_s == Approx(2.8));  // 2 + 0.8 of the way to 3
  CHECK(quantiles(samples).undisturbed == 3);
  samples[0].undisturbed = false;
  CHECK(quantiles(samples).repeats == 4);
  CHECK(quantiles(samples).median_s == 2.5);
  CHECK(quantiles({}).repeats == 0);
}

TEST_CASE("cases take turns, and every visit warms up first", "[calibrate_cpu][unit]") {
  MadeUpMachine machine;
  const RepeatLimits two{1.5, 2, 2, 1.0};
  std::vector<Repeated> cases{machine.takes('a', 1.0, true, two),
                              machine.takes('b', 1.0, true, two)};
  SessionHooks hooks = machine.hooks();
  std::vector<double> shares;
  hooks.progress = [&](double share) { shares.push_back(share); };
  const SessionEnd end = interleave(cases, {.least = 2, .most = 2}, hooks);
  CHECK(shares == std::vector<double>{0.25, 0.5, 0.75, 1.0});
  // The warm-up and two repeats per visit.
  CHECK(machine.order == "aaabbbaaabbb");
  REQUIRE(cases[0].rounds.size() == 2);
  CHECK(cases[0].rounds[0].size() == 2);
  CHECK(end.rounds == 2);
  CHECK(end.visits == 4);
}

TEST_CASE("a round visits every case once, neighbours far apart", "[calibrate_cpu][property]") {
  const auto count = static_cast<std::size_t>(GENERATE(1, 2, 3, 10, 26));
  MadeUpMachine machine;
  std::vector<Repeated> cases;
  for (std::size_t i = 0; i < count; ++i) {
    cases.push_back(machine.takes(static_cast<char>('a' + i), 1.0, true, {0.0, 1, 1, 1.0}));
  }
  interleave(cases, {.least = 1, .most = 1}, machine.hooks());
  for (const Repeated& one : cases) {
    CHECK(one.rounds.size() == 1);
  }
  CHECK((count < 10 || machine.order.find("ab") == std::string::npos));
}

TEST_CASE("a disturbed case is repeated for longer, but not for ever", "[calibrate_cpu][unit]") {
  MadeUpMachine machine;
  // A nanosecond would do, with patience for a quarter of an hour: max_repeats ends it.
  std::vector<Repeated> cases{machine.takes('a', 1.0, false, {1e-9, 2, 25, 1e12})};
  interleave(cases, {.least = 1, .most = 1}, machine.hooks());
  CHECK(machine.order.size() == 26);
  // Behind the pace nobody is patient: one repeat, and the next round.
  machine.order.clear();
  interleave(cases, {.least = 2, .most = 2, .patience_s = 0.0}, machine.hooks());
  CHECK(machine.order.size() == 4);
}

TEST_CASE("a session ends with its budget, in the middle of a round", "[calibrate_cpu][unit]") {
  MadeUpMachine machine;
  const RepeatLimits one{0.5, 1, 1, 1.0};
  std::vector<Repeated> cases{machine.takes('a', 1.0, true, one),
                              machine.takes('b', 1.0, true, one)};
  const SessionEnd end = interleave(
      cases, {.least = 4, .most = 9, .patience_s = 5.0, .budget_s = 5.0}, machine.hooks());
  CHECK(machine.order == "aabbaa");  // six seconds: the budget is asked before a visit
  CHECK(end.rounds == 1);
  CHECK_FALSE(end.narrow);
}

TEST_CASE("rounds go on until the times are narrow enough", "[calibrate_cpu][unit]") {
  MadeUpMachine machine;
  // As steady as can be: the least number of rounds does.
  std::vector<Repeated> cases{machine.takes('a', 1.0, true, {0.5, 1, 1, 1.0})};
  SessionEnd end = interleave(cases, {.least = 4, .most = 9, .half_width = 0.01}, machine.hooks());
  CHECK(end.rounds == 4);
  CHECK(end.narrow);
  // Longer from time to time: all rounds.
  int runs = 0;
  cases[0] = {[&] {
                const double seconds = 1.0 + 0.1 * (runs++ % 4);
                return TimedSample{seconds, true};
              },
              {0.0, 1, 1, 1.0, 0},
              {}};
  end = interleave(cases, {.least = 4, .most = 9, .half_width = 0.01}, machine.hooks());
  CHECK(end.rounds == 9);
  CHECK_FALSE(end.narrow);
}

TEST_CASE("windows of a visit with stolen time do not count", "[calibrate_cpu][unit]") {
  MadeUpMachine machine;
  std::vector<Repeated> cases{machine.takes('a', 1.0, true, {2.5, 3, 3, 1.0})};
  const auto run = cases[0].run;
  // The hypervisor takes a tick in the second visit's last repeat.
  cases[0].run = [&, run, runs = 0]() mutable {
    machine.stolen += ++runs == 8 ? 1 : 0;
    return run();
  };
  const SessionEnd end = interleave(cases, {.least = 3, .most = 3}, machine.hooks());
  CHECK(end.stolen_visits == 1);
  const MeasuredTime time = measured_time(cases[0].rounds);
  CHECK(time.rounds == 2);
  CHECK(time.undisturbed == 6);
  CHECK(time.windows == 9);
}

TEST_CASE("a cancelled session starts no further repeat", "[calibrate_cpu][unit]") {
  std::atomic<bool> cancel{false};
  int runs = 0;
  std::vector<Repeated> cases{{[&] {
                                 cancel = ++runs == 3;
                                 return TimedSample{1.0, true};
                               },
                               {1e9, 1000, 1000, 1.0},
                               {}}};
  const SessionEnd end = interleave(cases, {.least = 5, .most = 5}, {.cancel = &cancel});
  CHECK(runs == 3);
  CHECK(end.cancelled);
}
