#include "sim/plan/ranking.h"

#include <catch2/catch.hpp>
#include <cmath>

namespace moesim::test {
namespace {

RankedLayout layout(double step_s, double gigabytes = 1, double sigma = 0.1) {
  RankedLayout result;
  result.figures.step = Seconds(step_s);
  result.figures.peak_memory = Bytes(1e9 * gigabytes);
  result.figures.sigma = sigma;
  return result;
}

TEST_CASE("nothing on the front is beaten in time and memory at once", "[plan]") {
  const std::vector<RankedLayout> ranking{layout(1, 50), layout(2, 60), layout(3, 40),
                                          layout(3, 40), layout(4, 10)};
  CHECK(pareto_front(ranking) == std::vector<std::size_t>{0, 2, 4});
}

TEST_CASE("the better of two wins with the normal probability of their distance", "[plan]") {
  // ln(t2/t1) over the standard error of the difference.
  const double z = std::log(1.1) / std::sqrt(0.1 * 0.1 + 0.05 * 0.05);
  const double expected = 0.5 * std::erfc(-z / std::sqrt(2.0));
  CHECK(win_probability(std::vector{layout(1, 1, 0.1), layout(1.1, 1, 0.05)}) ==
        Approx(expected).epsilon(1e-8));
}

TEST_CASE("equals share the win", "[plan]") {
  CHECK(win_probability(std::vector{layout(1), layout(1), layout(1), layout(1)}) ==
        Approx(0.25).epsilon(1e-8));
  CHECK(win_probability(std::vector{layout(1)}) == 1.0);
  CHECK(win_probability(std::vector{layout(1, 1, 0), layout(1.001, 1, 0)}) ==
        Approx(1.0).epsilon(1e-8));
}

TEST_CASE("an axis lists the best of each value, simulated before estimated", "[plan]") {
  std::vector<RankedLayout> ranking{layout(3), layout(2)};
  ranking[0].layout.parallelism.attention_tp = 2;
  ranking[1].layout.parallelism.attention_tp = 2;
  std::vector<RankedLayout> estimated(2);
  estimated[0].layout.parallelism.attention_tp = 16;
  estimated[0].estimate = Seconds(9);
  estimated[1].layout.parallelism.attention_tp = 2;
  estimated[1].estimate = Seconds(1);
  const auto rows = sensitivities(ranking, estimated);
  REQUIRE(rows.size() == 2);  // nothing else varies
  CHECK(rows[0].axis == "tp");
  CHECK(rows[0].value == "2");
  CHECK(rows[0].step == Seconds(2));
  CHECK(rows[0].simulated);
  CHECK(rows[1].value == "16");
  CHECK(rows[1].step == Seconds(9));
  CHECK_FALSE(rows[1].simulated);
}

}  // namespace
}  // namespace moesim::test
