#include "sim/reproduce/verdict.h"

#include <catch2/catch.hpp>
#include <limits>

#include "sim/core/rng.h"

using namespace moesim;

namespace {

Target target(std::vector<double> published, ToleranceKind kind, std::optional<double> tolerance,
              double neutral = 0.0) {
  Target result{.published = std::move(published),
                .half_digits = {},
                .tolerance = {kind, tolerance},
                .neutral = neutral};
  result.half_digits.assign(result.published.size(), 0.005);
  return result;
}

Verdict judged(const Target& what, std::vector<double> simulated) { return judge(what, simulated); }

constexpr auto yes = Verdict::reproduced;
constexpr auto partly = Verdict::partly;
constexpr auto no = Verdict::no;

}  // namespace

TEST_CASE("relative tolerance is of the published figure", "[reproduce][unit]") {
  const Target t = target({2.2}, ToleranceKind::relative, 0.25, 1.0);
  CHECK(judged(t, {2.2}) == yes);
  CHECK(judged(t, {2.75}) == yes);  // 25 % above
  CHECK(judged(t, {1.65}) == yes);
  CHECK(judged(t, {2.76}) == partly);
  CHECK(judged(t, {3.3}) == partly);  // twice the tolerance
  CHECK(judged(t, {3.31}) == no);
  CHECK(judged(t, {1.11}) == partly);
  CHECK(judged(t, {1.0}) == no);
}

TEST_CASE("partly needs the right direction", "[reproduce][unit]") {
  // 10 points of tolerance: -2 % is within twice of 17.5 % but a slowdown.
  const Target points = target({17.5}, ToleranceKind::points, 10.0);
  CHECK(judged(points, {27.5}) == yes);
  CHECK(judged(points, {7.5}) == yes);
  CHECK(judged(points, {1.0}) == partly);
  CHECK(judged(points, {0.0}) == no);
  CHECK(judged(points, {-2.0}) == no);
  // A ratio changes direction at 1.
  const Target ratio = target({1.3}, ToleranceKind::relative, 0.2, neutral_of("x"));
  CHECK(judged(ratio, {1.03}) == partly);
  CHECK(judged(ratio, {0.97}) == no);
}

TEST_CASE("absolute tolerance, with decimal fractions", "[reproduce][unit]") {
  const Target t = target({0.357}, ToleranceKind::absolute, 0.06);
  CHECK(judged(t, {0.357 + 0.06}) == yes);
  CHECK(judged(t, {0.357 - 0.06}) == yes);
  CHECK(judged(t, {0.418}) == partly);
  CHECK(judged(t, {0.48}) == no);
}

TEST_CASE("exact means as printed", "[reproduce][unit]") {
  const Target t = target({54.46}, ToleranceKind::exact, std::nullopt);  // half a digit: 0.005
  CHECK(judged(t, {54.464}) == yes);
  CHECK(judged(t, {54.456}) == yes);
  CHECK(judged(t, {54.468}) == partly);
  CHECK(judged(t, {54.48}) == no);
}

TEST_CASE("sign asks for the direction, and for what it states", "[reproduce][unit]") {
  const Target bare = target({16.7}, ToleranceKind::sign, std::nullopt, 1.0);
  CHECK(judged(bare, {1.01}) == yes);
  CHECK(judged(bare, {0.99}) == no);
  const Target least = target({10.0}, ToleranceKind::sign, 8.0);
  CHECK(judged(least, {8.0}) == yes);
  CHECK(judged(least, {7.0}) == partly);
  CHECK(judged(least, {-9.0}) == no);
}

TEST_CASE("without a tolerance nothing is reproduced", "[reproduce][unit]") {
  const Target t = target({67.0}, ToleranceKind::none, std::nullopt);
  CHECK(judged(t, {67.0}) == partly);
  CHECK(judged(t, {1.0}) == partly);
  CHECK(judged(t, {-1.0}) == no);
}

TEST_CASE("a range holds inside, and widens by the tolerance", "[reproduce][unit]") {
  Target t = target({2.0, 4.0}, ToleranceKind::relative, 0.1, 1.0);
  t.is_range = true;
  CHECK(judged(t, {2.0}) == yes);
  CHECK(judged(t, {3.0}) == yes);
  CHECK(judged(t, {4.4}) == yes);  // 10 % of the nearer end
  CHECK(judged(t, {1.8}) == yes);
  CHECK(judged(t, {1.7}) == partly);
  CHECK(judged(t, {4.9}) == no);
  CHECK(ratios(t, std::vector{3.0}) == std::vector{1.0});
  CHECK(ratios(t, std::vector{5.0}) == std::vector{1.25});
}

TEST_CASE("of several figures the worst decides", "[reproduce][unit]") {
  const Target t = target({36.0, 36.3}, ToleranceKind::points, 10.0);
  CHECK(judged(t, {36.0, 36.3}) == yes);
  CHECK(judged(t, {36.0, 20.0}) == partly);
  CHECK(judged(t, {0.0, 36.3}) == no);
  CHECK(ratios(t, std::vector{18.0, 36.3}) == std::vector{0.5, 1.0});
}

TEST_CASE("one-sided bounds", "[reproduce][unit]") {
  Target t = target({25.0}, ToleranceKind::relative, 0.2);
  t.bound = Bound::at_most;
  CHECK(judged(t, {3.0}) == yes);
  CHECK(judged(t, {30.0}) == yes);
  CHECK(judged(t, {34.0}) == partly);
  CHECK(judged(t, {36.0}) == no);
  t.bound = Bound::at_least;
  CHECK(judged(t, {300.0}) == yes);
  CHECK(judged(t, {20.0}) == yes);
  CHECK(judged(t, {14.0}) == no);
}

TEST_CASE("ratios of nothing", "[reproduce][unit]") {
  const Target t = target({0.0}, ToleranceKind::exact, std::nullopt);
  CHECK(ratios(t, std::vector{0.0}) == std::vector{1.0});
  CHECK(ratios(t, std::vector{1.0}) == std::vector{std::numeric_limits<double>::infinity()});
}

// Moving away from the published figure never improves the verdict.
TEST_CASE("verdicts are monotone", "[reproduce][property]") {
  Rng rng(5);
  for (int i = 0; i < 500; ++i) {
    const auto kind = static_cast<ToleranceKind>(rng.below(4));
    const double published = 0.1 + 10 * rng.uniform();
    const Target t = target({published}, kind, 0.01 + 0.5 * rng.uniform());
    const double direction = rng.below(2) == 0 ? -1.0 : 1.0;
    Verdict before = Verdict::reproduced;
    for (double away = 0.0; away < 3 * published; away += published / 20) {
      const Verdict now = judged(t, {published + direction * away});
      CHECK(now >= before);
      before = now;
    }
    CHECK(judged(t, {published}) == Verdict::reproduced);
  }
}

TEST_CASE("units say what no change is", "[reproduce][unit]") {
  CHECK(neutral_of("x") == 1.0);
  CHECK(neutral_of("x (max)") == 1.0);
  CHECK(neutral_of("ratio") == 1.0);
  CHECK(neutral_of("%") == 0.0);
  CHECK(neutral_of("experts") == 0.0);
}
