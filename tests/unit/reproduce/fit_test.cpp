#include "sim/reproduce/fit.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "sim/core/rng.h"

using namespace moesim;

// A share c / (x + c) falls with x; an exponential grows; a line crosses zero.
TEST_CASE("a monotone figure is met from both sides", "[reproduce][property]") {
  Rng rng(3);
  for (int i = 0; i < 200; ++i) {
    const double c = 1 + 50 * rng.uniform();
    const double truth = 2 + 100 * rng.uniform();
    const auto share = [c](double x) { return c / (x + c); };
    const auto growing = [c](double x) { return std::exp(x / c / 20); };
    for (const std::function<double(double)>& figure :
         {std::function<double(double)>(share), std::function<double(double)>(growing)}) {
      const ParameterFit fit =
          fit_parameter({.figure = figure, .low = 1, .high = 200, .target = figure(truth)});
      CHECK(fit.reached);
      CHECK(fit.figure == Approx(figure(truth)).epsilon(1.1e-4));
      CHECK(fit.figure == figure(fit.parameter));
      CHECK(fit.evaluations <= 25);
    }
  }
}

TEST_CASE("a parameter may be negative", "[reproduce][unit]") {
  const ParameterFit fit = fit_parameter(
      {.figure = [](double x) { return 3 * x + 1; }, .low = -10, .high = 10, .target = 0});
  CHECK(fit.reached);
  CHECK(fit.parameter == Approx(-1.0 / 3).margin(1e-4));
}

TEST_CASE("a target between equal ends is searched for", "[reproduce][unit]") {
  // A hump: 0 at both ends, 1 in the middle; 0.9 is reached on either flank.
  const auto hump = [](double x) { return 1 - (x - 5) * (x - 5) / 25; };
  const ParameterFit fit = fit_parameter({.figure = hump, .low = 0, .high = 10, .target = 1.0});
  CHECK(fit.reached);
  CHECK(fit.parameter == Approx(5.0).margin(0.1));
}

TEST_CASE("what is out of reach is said so", "[reproduce][unit]") {
  const ParameterFit fit =
      fit_parameter({.figure = [](double x) { return 1 / x; }, .low = 1, .high = 4, .target = 0.1});
  CHECK_FALSE(fit.reached);
  CHECK(fit.parameter == Approx(4.0));
  CHECK(fit.figure == Approx(0.25));
}
