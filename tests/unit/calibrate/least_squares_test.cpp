#include "calibrate/fit/least_squares.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "sim/core/rng.h"

using namespace moesim;

namespace {

struct Planted {
  std::vector<double> x;
  std::vector<double> measured;
};

// t = a + b*x with a = 2e-6, b = 3e-9; `noise` relative, every tenth row three times too slow.
Planted planted(double noise, bool outliers) {
  Planted rows;
  Rng rng(5);
  for (int i = 0; i < 400; ++i) {
    const double x = std::exp(9 * rng.uniform());
    const double slow = outliers && i % 10 == 0 ? 3.0 : 1.0;
    rows.x.push_back(x);
    rows.measured.push_back((2e-6 + 3e-9 * x) * std::exp(noise * rng.normal()) * slow);
  }
  return rows;
}

LeastSquares fit(const Planted& rows, std::vector<FitParameter> parameters) {
  return fit_coefficients(
      parameters, rows.measured,
      [&rows](std::span<const double> c, std::span<double> out) {
        for (std::size_t i = 0; i < out.size(); ++i) {
          out[i] = c[0] + c[1] * rows.x[i];
        }
      },
      100);
}

const std::vector<FitParameter> far_away{{1e-5, 1e-8, 1e-2}, {1e-7, 1e-12, 1e-3}};

}  // namespace

TEST_CASE("a fit recovers planted coefficients", "[calibrate][unit]") {
  SECTION("without noise up to the weak prior") {
    const auto c = fit(planted(0.0, false), far_away).coefficients;
    CHECK(c[0] == Approx(2e-6).epsilon(5e-3));
    CHECK(c[1] == Approx(3e-9).epsilon(5e-3));
  }
  SECTION("with 5 % noise and gross outliers") {
    const auto c = fit(planted(0.05, true), far_away).coefficients;
    CHECK(c[0] == Approx(2e-6).epsilon(0.03));
    CHECK(c[1] == Approx(3e-9).epsilon(0.03));
  }
}

TEST_CASE("fixed coefficients and limits hold", "[calibrate][unit]") {
  const Planted rows = planted(0.0, false);
  const auto fixed = fit(rows, {{0, 0, 0, true}, {1e-7, 1e-12, 1e-3}}).coefficients;
  CHECK(fixed[0] == 0.0);
  const auto limited = fit(rows, {{1e-5, 4e-6, 1e-2}, {1e-7, 1e-12, 1e-3}}).coefficients;
  CHECK(limited[0] == Approx(4e-6));
}

TEST_CASE("a coefficient that no row determines stays at its start", "[calibrate][unit]") {
  const Planted rows = planted(0.01, false);
  const std::vector<FitParameter> parameters{
      {1e-5, 1e-8, 1e-2}, {1e-7, 1e-12, 1e-3}, {0.7, 0.05, 1}};
  const auto result = fit(rows, parameters);
  CHECK(result.coefficients[2] == Approx(0.7).epsilon(1e-9));
}

TEST_CASE("the same rows give the same bits", "[calibrate][unit]") {
  const Planted rows = planted(0.05, true);
  CHECK(fit(rows, far_away).coefficients == fit(rows, far_away).coefficients);
}
