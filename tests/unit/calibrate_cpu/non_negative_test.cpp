#include "calibrate/cpu/non_negative.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "sim/core/error.h"
#include "sim/core/rng.h"

using namespace moesim;

namespace {

double residual(const std::vector<std::vector<double>>& features, const std::vector<double>& values,
                const std::vector<double>& x, std::size_t row) {
  double sum = 0;
  for (std::size_t j = 0; j < x.size(); ++j) {
    sum += features[row][j] * x[j];
  }
  return 1 - sum / values[row];
}

}  // namespace

// Karush, Kuhn and Tucker: at the optimum of a convex problem no coefficient is negative, and
// raising one does not help; if it is above zero, lowering it does not either.
TEST_CASE("non-negative fits are optimal", "[calibrate_cpu][property]") {
  const auto seed = GENERATE(range(0, 30));
  const RngStreams streams(static_cast<std::uint64_t>(seed));
  Rng rng = streams.stream("nnls");
  const std::size_t n = 2 + rng.below(12);
  const std::size_t rows = 3 + rng.below(40);
  std::vector<std::vector<double>> features(rows, std::vector<double>(n));
  std::vector<double> values(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      // Very different sizes; every third feature nearly repeats the one before.
      features[i][j] = j % 3 == 2 ? features[i][j - 1] * (1 + 1e-7 * rng.uniform())
                                  : std::pow(10.0, static_cast<double>(j)) * rng.uniform();
    }
    values[i] = 1e-6 + rng.uniform();
  }
  const std::vector<double> x = fit_non_negative(features, values);
  REQUIRE(x.size() == n);
  for (std::size_t j = 0; j < n; ++j) {
    double gradient = 0;
    double size = 0;
    for (std::size_t i = 0; i < rows; ++i) {
      const double a = features[i][j] / values[i];
      gradient += a * residual(features, values, x, i);
      size += a * a;
    }
    gradient /= std::sqrt(size * static_cast<double>(rows));
    CAPTURE(seed, j, x[j]);
    CHECK(x[j] >= 0);
    CHECK(gradient <= 1e-6);
    if (x[j] > 0) {
      CHECK(gradient >= -1e-6);
    }
  }
}

TEST_CASE("exact sums are found again", "[calibrate_cpu][unit]") {
  // 3 a + 0 b + 2 c
  const std::vector<std::vector<double>> features{{1, 5, 0}, {0, 1, 1}, {2, 0, 3}, {1, 1, 1}};
  const std::vector<double> x = fit_non_negative(features, {3, 2, 12, 5});
  CHECK(x[0] == Approx(3));
  CHECK(x[1] == Approx(0).margin(1e-12));
  CHECK(x[2] == Approx(2));
  CHECK_THROWS_AS(fit_non_negative({}, {}), InvariantError);
}
