// Coefficients of training frameworks, and how far published step times are predicted with them.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>

#include "sim/app/catalog.h"
#include "sim/app/training_fit.h"
#include "sim/app/validate_training.h"

using namespace moesim;

namespace {

// Iterations whose kernels take `kernels_s` and whose host launches `launches` of them beside.
FitRow row_of(double kernels_s, double launches, const FrameworkCoefficients& truth) {
  const auto seconds = [&](const FrameworkCoefficients& at) {
    return kernels_s * at.slowdown + launches * at.host_us * 1e-6;
  };
  FitRow row{.measured_s = seconds(truth)};
  std::size_t i = 0;
  for (const double host : k_fit_hosts) {
    for (const double slowdown : k_fit_slowdowns) {
      row.simulated_s.at(i++) = seconds({.host_us = host, .slowdown = slowdown});
    }
  }
  return row;
}

}  // namespace

TEST_CASE("a framework's coefficients are found again", "[app][training]") {
  const FrameworkCoefficients truth{.host_us = 345.0, .slowdown = 1.37};
  std::vector<FitRow> rows;
  for (const double launches : {0.0, 500.0, 2000.0, 9000.0}) {
    rows.push_back(row_of(2.0, launches, truth));
    CHECK(interpolated_seconds(rows.back(), truth) == Approx(rows.back().measured_s));
  }
  rows.push_back(row_of(50.0, 0.0, {.host_us = 0.0, .slowdown = 1.8}));  // an outlier weighs once
  const FrameworkCoefficients found = fit_framework(rows);
  CHECK(found.host_us == Approx(truth.host_us));
  CHECK(found.slowdown == Approx(truth.slowdown));

  const FrameworkCoefficients nothing = fit_framework({});
  CHECK(nothing.host_us == 0.0);
  CHECK(nothing.slowdown == 1.0);
}

TEST_CASE("step times of published runs are predicted no worse than they were",
          "[app][training][shared][slow]") {
  ValidateTrainingOptions options{
      .file = MOESIM_SHARED_DIR "/data/measured/training/training_points.csv",
      .catalogs = catalog_folders({MOESIM_SOURCE_DIR}),
      .threads = 2,
      .refit = false};
  if (!std::filesystem::exists(options.file)) {
    WARN("skipped: the measurements are not on this machine");
    return;
  }
  const ValidateTrainingResult result = validate_training(options);
  CHECK(result.judged() >= 175);
  struct Bound {
    const char* group;
    double median;
    double p90;
  };
  // What was reached in 2026-11, and a little.
  for (const Bound& bound : {Bound{"step_s", 0.20, 0.42}, Bound{"step_s/fp8", 0.12, 0.36},
                             Bound{"step_s/bf16", 0.23, 0.44}, Bound{"step_s/gb200", 0.07, 0.31},
                             Bound{"step_s/h100_sxm", 0.31, 0.50}}) {
    const auto found = std::ranges::find(result.pooled, bound.group, &TrainingGroup::name);
    INFO(bound.group);
    REQUIRE(found != result.pooled.end());
    CHECK(found->median_ape < bound.median);
    CHECK(found->p90_ape < bound.p90);
  }
}
