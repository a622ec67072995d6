#include "sim/reproduce/expression.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <memory>
#include <numeric>

#include "sim/core/error.h"
#include "sim/core/rng.h"

using namespace moesim;

namespace {

// Names a, b, c stand for 2, 0.5 and 3; list for 1, 2, 3, 4; pair for 1, 2.
std::vector<double> look_up(const std::string& name) {
  if (name == "pair") {
    return {1, 2};
  }
  if (name == "list") {
    return {1, 2, 3, 4};
  }
  return {name == "a" ? 2.0 : name == "b" ? 0.5 : 3.0};
}

std::string nested(std::size_t depth) {
  std::string text(depth, '(');
  text += '1';
  return text.append(depth, ')');
}

double value(const std::string& text) { return Expression(text, "test").value(look_up); }

// A random expression with its value, computed while it is made: no parser is involved. Parentheses
// stand everywhere, or only where the tree needs them.
struct Made {
  std::string text;
  double value = 0.0;
  int strength = 3;  // 1: sum, 2: product, 3: everything that binds tighter
};

class Maker {
 public:
  explicit Maker(std::uint64_t seed) : rng_(seed) {}

  Made make(int depth) {
    const std::uint64_t kind = depth == 0 ? rng_.below(2) : rng_.below(8);
    switch (kind) {
      case 0: {
        const auto whole = static_cast<double>(rng_.below(900) + 100);
        return {std::to_string(static_cast<int>(whole)) + "e-2", whole / 100, 3};
      }
      case 1: {
        const std::string name(1, static_cast<char>('a' + rng_.below(3)));
        return {name, look_up(name).front(), 3};
      }
      case 2:
        return joined_by(" + ", 1, depth, [](double x, double y) { return x + y; });
      case 3:
        return joined_by("-", 1, depth, [](double x, double y) { return x - y; });
      case 4:
        return joined_by("*", 2, depth, [](double x, double y) { return x * y; });
      case 5: {
        Made left = make(depth - 1);
        Made right = make(depth - 1);
        if (right.value == 0.0) {
          right = {"7", 7.0, 3};
        }
        return {within(left, 2) + " / " + within(right, 3), left.value / right.value, 2};
      }
      case 6: {
        const Made inner = make(depth - 1);
        return {"-" + within(inner, 3), -inner.value, 3};
      }
      default:
        return called(depth);
    }
  }

 private:
  template <class Combine>
  Made joined_by(const std::string& symbol, int strength, int depth, Combine combine) {
    const Made left = make(depth - 1);
    const Made right = make(depth - 1);
    // a - (b - c) needs its parentheses, (a - b) - c does not.
    return {within(left, strength) + symbol + within(right, strength + 1),
            combine(left.value, right.value), strength};
  }

  Made called(int depth) {
    const Made x = make(depth - 1);
    const Made y = make(depth - 1);
    switch (rng_.below(5)) {
      case 0:
        return {"min(" + x.text + ", " + y.text + ")", std::min(x.value, y.value), 3};
      case 1:
        return {"max(" + x.text + "," + y.text + ")", std::max(x.value, y.value), 3};
      case 2:
        return {"mean(" + x.text + ", " + y.text + ")", (0.0 + x.value + y.value) / 2, 3};
      case 3:
        return {"abs(" + x.text + ")", std::abs(x.value), 3};
      default:
        return {"sqrt(abs(" + x.text + "))", std::sqrt(std::abs(x.value)), 3};
    }
  }

  std::string within(const Made& inner, int strength) {
    return inner.strength < strength || rng_.below(4) == 0 ? "( " + inner.text + " )" : inner.text;
  }

  Rng rng_;
};

}  // namespace

TEST_CASE("random expressions have the value of their tree", "[reproduce][property]") {
  int long_ones = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const Made made = Maker(seed).make(static_cast<int>(seed % 6));
    if (!std::isfinite(made.value) || made.text.size() > 9000) {
      continue;
    }
    CAPTURE(seed, made.text);
    CHECK(value(made.text) == made.value);
    long_ones += made.text.size() > 40 ? 1 : 0;
  }
  CHECK(long_ones > 200);  // the property saw more than leaves
}

TEST_CASE("lists are taken whole by min, max, mean and sum", "[reproduce][unit]") {
  CHECK(value("sum(list)") == 10);
  CHECK(value("mean(list)") == 2.5);
  CHECK(value("mean(list, a, b)") == Approx(12.5 / 6));
  CHECK(value("max(list) - min(list)") == 3);
}

TEST_CASE("all else goes through lists element by element", "[reproduce][unit]") {
  CHECK(value("sum(list * list)") == 30);
  CHECK(value("sum(a * list - list / a)") == 15);
  CHECK(value("max(-list)") == -1);
  CHECK(value("sum(less(list, 2.5))") == 2);
  CHECK(value("mean(differ(list, pow(list, 1 + less(list, 1.5))))") == 0);
  CHECK(value("sum(greater(list, c)) + sum(lesser(list, a))") == Approx(3 + 3 + 3 + 4 + 7));
  CHECK(value("exp(log(a)) + ceil(1.2) + floor(1.8)") == Approx(5));
  CHECK_THROWS_WITH(value("list + 1"), Catch::Contains("column 6") && Catch::Contains("4 values"));
  CHECK_THROWS_WITH(value("abs(list)"), Catch::Contains("is a list"));
  CHECK_THROWS_WITH(value("sum(list + pair)"), Catch::Contains("4 and 2"));
}

TEST_CASE("names may lead into a report", "[reproduce][unit]") {
  const Expression expression("mean(a.layers.3.x_s, b.metrics.step_s) / a.n", "test");
  CHECK(expression.names() ==
        std::vector<std::string>{"a.layers.3.x_s", "b.metrics.step_s", "a.n"});
}

TEST_CASE("what is no expression is refused at its column", "[reproduce][unit]") {
  const auto [text, column, what] = GENERATE(table<std::string, std::string, std::string>({
      {"", "column 1", "ends where"},
      {"1 +", "column 4", "ends where"},
      {"1 2", "column 3", "an operator"},
      {"(1 + 2", "column 7", "column 1 is not closed"},
      {"1 + )", "column 5", "')' is no number"},
      {"min()", "column 5", "')' is no number"},
      {"median(1)", "column 1", "min, max, mean, sum, abs, sqrt"},
      {"abs(1, 2)", "column 1", "takes one value"},
      {"pow(2)", "column 1", "takes two values"},
      {"a..b", "column 1", "no name"},
      {"a. + 1", "column 1", "no name"},
      {"1e999", "column 1", "is not a number"},
      {"2x", "column 1", "is not a number"},
      {"a = b", "column 3", "an operator"},
      {nested(101), "column 101", "100 deep"},
      {std::string(10'001, ' '), "column 1", "10000 characters"},
  }));
  CAPTURE(text);
  CHECK_THROWS_AS(Expression(text, "file#/measure"), ConfigError);
  CHECK_THROWS_WITH(Expression(text, "file#/measure"), Catch::Contains("file#/measure") &&
                                                           Catch::Contains(column) &&
                                                           Catch::Contains(what));
}

TEST_CASE("results that are no numbers are refused", "[reproduce][unit]") {
  CHECK_THROWS_WITH(value("1 / (a - 2)"), Catch::Contains("not finite"));
  CHECK_THROWS_WITH(value("sqrt(-a)"), Catch::Contains("not finite"));
  CHECK_THROWS_WITH(value("0 * (1 / (a - 2))"), Catch::Contains("not finite"));
}

// Chains are long, not deep: they need no stack.
TEST_CASE("long chains are evaluated", "[reproduce][unit]") {
  std::string text = "1";
  for (int i = 0; i < 4000; ++i) {
    text += "+1";
  }
  CHECK(value(text) == 4001);
}
