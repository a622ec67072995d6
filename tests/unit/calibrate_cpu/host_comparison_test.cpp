#include "calibrate/cpu/host_comparison.h"

#include <catch2/catch.hpp>

#include "calibrate/cpu/micro_usable.h"

using namespace moesim;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

// Measured 1 s, predicted `predicted`, both `around` that much to either side.
HostComparison compared(const std::string& regime, double predicted, double around) {
  HostComparison row;
  row.config.regime = regime;
  row.measured.step_s = 1.0;
  row.step = {1.0, 1.0 - around, 1.0 + around, 5, 20, 20};
  row.predicted.step_s = predicted;
  row.predicted_s = {predicted * (1.0 - around), predicted * (1.0 + around)};
  row.naive_s = 0.5;
  return row;
}

HostVerdict verdict_of(double error, double around, double bar) {
  std::vector<HostComparison> rows;
  for (int i = 0; i < 5; ++i) {
    rows.push_back(compared("one_rank", i % 2 == 0 ? 1.0 + error : 1.0 - error, around));
  }
  return judge(group_errors(rows), bar);
}

}  // namespace

TEST_CASE("errors are grouped by regime and over all", "[calibrate_cpu][unit]") {
  const std::vector<HostGroup> groups = group_errors(
      {compared("one_rank", 1.2, 0.0), compared("one_rank", 0.9, 0.0), compared("disk", 1.4, 0.0)});
  // Phases without time are no groups.
  REQUIRE(groups.size() == 3);
  CHECK(groups[0].name == "host/all/step");
  CHECK(groups[0].n == 3);
  CHECK(groups[0].median_ape == Approx(0.2));
  CHECK(groups[0].worst_ape == Approx(0.4));
  CHECK(groups[0].naive_median_ape == Approx(0.5));
  CHECK(groups[1].name == "host/disk/step");
  CHECK(groups[2].mean_signed_error == Approx(0.05));
}

TEST_CASE("an error's interval comes from both sides' intervals", "[calibrate_cpu][unit]") {
  const HostComparison row = compared("disk", 1.2, 0.1);
  CHECK(row.error() == Approx(0.2));
  CHECK(row.error_interval().low == Approx(1.08 / 1.1 - 1.0));
  CHECK(row.error_interval().high == Approx(1.32 / 0.9 - 1.0));
  CHECK(row.noise() == Approx((1.32 / 0.9 - 1.08 / 1.1) / 2.0));
  CHECK(group_errors({row})[0].worst_beyond_noise == 0.0);
  // Too fast by 40 %, at least by 30 %.
  CHECK(group_errors({compared("disk", 0.6, 0.07)})[0].worst_beyond_noise ==
        Approx(1.0 - 0.6 * 1.07 / 0.93));
}

TEST_CASE("a median error's interval knows what is common and what is not",
          "[calibrate_cpu][unit]") {
  // Microbenchmarks are wrong together: all predictions move.
  std::vector<HostComparison> rows(16, compared("disk", 1.1, 0.0));
  for (HostComparison& row : rows) {
    row.predicted_s = {1.08, 1.15};
  }
  HostGroup group = group_errors(rows)[0];
  CHECK(group.median_ape == Approx(0.1));
  CHECK(group.interval.low == Approx(0.08));
  CHECK(group.interval.high == Approx(0.15));
  // Layers are wrong each by itself: of 16 intervals a quarter is left, and a bit for the median.
  for (HostComparison& row : rows) {
    row.predicted_s = {1.1, 1.1};
    row.step = {1.0, 0.96, 1.04, 5, 20, 20};
  }
  group = group_errors(rows)[0];
  CHECK(group.interval.low == Approx(0.1 - 1.2533 * 0.01).epsilon(1e-3));
  CHECK(group.interval.high == Approx(0.1 + 1.2533 * 0.01).epsilon(1e-3));
}

TEST_CASE("a verdict says no more than the noise allows", "[calibrate_cpu][unit]") {
  const HostVerdict within = verdict_of(0.06, 0.01, 0.15);
  CHECK(within.answer == HostAnswer::within);
  CHECK_THAT(within.text, StartsWith("within 15 %: median error 6 %") &&
                              Contains("cannot be told here and now"));
  CHECK(verdict_of(0.4, 0.01, 0.15).answer == HostAnswer::beyond);
  // The bar lies within the interval.
  const HostVerdict open = verdict_of(0.14, 0.03, 0.15);
  CHECK(open.answer == HostAnswer::cannot_tell);
  CHECK(open.interval.low < 0.15);
  CHECK(open.interval.high > 0.15);
  // Noise above the claim proves nothing, however large the error is.
  const HostVerdict noisy = verdict_of(0.9, 0.2, 0.15);
  CHECK(noisy.interval.low > 0.15);
  CHECK(noisy.answer == HostAnswer::cannot_tell);
  CHECK_THAT(noisy.text, Contains("own noise"));
  const HostVerdict nothing = judge({}, 0.15);
  CHECK(nothing.answer == HostAnswer::cannot_tell);
  CHECK(nothing.n == 0);
}

TEST_CASE("disturbed microbenchmarks take with them what is predicted from them",
          "[calibrate_cpu][unit]") {
  std::vector<MicroKey> keys;
  for (const std::string kernel : {"expert", "disk_direct"}) {
    for (const int threads : {1, 2}) {
      for (const std::int64_t rows : {1, 2, 3, 4}) {
        keys.push_back({kernel, threads, rows, 512, 512, 1000, 1});
      }
    }
  }
  keys.push_back({"handoff_wait", 2, 0, 0, 0, 0, 1});
  const MeasuredTime seen{1.0, 0.9, 1.1, 3, 9, 9};
  MeasuredTime missed = seen;
  missed.rounds = 2;
  std::vector<MeasuredTime> times(keys.size(), seen);
  // A row or two are left out, no more.
  times[0] = times[3] = missed;
  UsableMicro usable = usable_micro(keys, times);
  CHECK(usable.any);
  CHECK(usable.disturbed.empty());
  CHECK(usable.rows.size() == 15);
  CHECK(usable.rows[0] == 1);
  // Nothing is predicted for two threads from what is left of theirs.
  times[4] = times[5] = times[6] = missed;
  usable = usable_micro(keys, times);
  CHECK(usable.any);
  CHECK_FALSE(usable.two_threads);
  CHECK(usable.disturbed == std::vector<std::string>{"expert (2 threads)"});
  CHECK(usable.rows.size() == 6);
  // The disk is its own affair, and nobody reads how long a waiting hand-over takes.
  times.assign(keys.size(), seen);
  times[8] = times[9] = times[10] = times.back() = missed;
  usable = usable_micro(keys, times);
  CHECK(usable.any);
  CHECK(usable.two_threads);
  CHECK_FALSE(usable.disk);
  CHECK(usable.rows.size() == 8);
  times[0] = times[1] = times[2] = missed;
  CHECK_FALSE(usable_micro(keys, times).any);
}
