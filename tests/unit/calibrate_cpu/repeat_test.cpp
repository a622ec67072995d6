#include "calibrate/cpu/repeat.h"

#include <catch2/catch.hpp>
#include <string>

using namespace moesim;

TEST_CASE("quantiles leave disturbed repeats out while enough others are left",
          "[calibrate_cpu][unit]") {
  std::vector<TimedSample> samples{{1.0, true}, {2.0, true}, {3.0, true}, {100.0, false}};
  CHECK(quantiles(samples).median_s == 2.0);
  CHECK(quantiles(samples).p90_s == Approx(2.8));  // 2 + 0.8 of the way to 3
  CHECK(quantiles(samples).undisturbed == 3);
  samples[0].undisturbed = false;
  CHECK(quantiles(samples).repeats == 4);
  CHECK(quantiles(samples).median_s == 2.5);
}

TEST_CASE("cases take turns, and every visit warms up first", "[calibrate_cpu][unit]") {
  std::string order;
  const auto one = [&](char name) {
    return Repeated{[&order, name] {
                      order += name;
                      return TimedSample{1.0, true};
                    },
                    {0.0, 2, 2, 1.0},
                    {}};
  };
  std::vector<Repeated> cases{one('a'), one('b')};
  std::vector<double> shares;
  interleave(cases, 2, 1e9, [&](double share) { shares.push_back(share); });
  CHECK(shares == std::vector<double>{0.25, 0.5, 0.75, 1.0});
  // The warm-up and two repeats per visit.
  CHECK(order == "aaabbbaaabbb");
  REQUIRE(cases[0].rounds.size() == 2);
  CHECK(cases[0].rounds[0].size() == 2);
}

TEST_CASE("a disturbed case is repeated for longer, but not for ever", "[calibrate_cpu][unit]") {
  int runs = 0;
  const auto disturbed = [&] {
    ++runs;
    return TimedSample{1.0, false};
  };
  // A nanosecond would do, with patience for a quarter of an hour: max_repeats ends it.
  const RepeatLimits limits{1e-9, 2, 25, 1e12};
  std::vector<Repeated> cases{{disturbed, limits, {}}};
  interleave(cases, 1, 1e9);
  CHECK(runs == 26);
  // Behind the budget nobody is patient.
  runs = 0;
  interleave(cases, 1, 0.0);
  CHECK(runs == 3);
}
