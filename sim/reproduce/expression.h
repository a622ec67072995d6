// Arithmetic over the figures of reports: how a claim's scenario says what it measures.
//
//   sum     = product { ("+" | "-") product }
//   product = factor { ("*" | "/") factor }
//   factor  = "-" factor | number | name | function "(" sum { "," sum } ")" | "(" sum ")"
//
// A name (home.metrics.step_s, home.layers.experts_s, home.layers.3.experts_s) stands for one value
// or a list. min, max, mean and sum take any number of values and lists and give one value. All
// else works element by element, on lists of one length and on single values beside them:
// operators, abs, sqrt, ceil, floor, exp, log (natural), pow(a, b), lesser(a, b), greater(a, b),
// and less(a, b) and differ(a, b), which give 1 or 0.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace moesim {

class Expression {
 public:
  // The values that a name stands for; throws ConfigError for a name without meaning.
  using Lookup = std::function<std::vector<double>(const std::string& name)>;

  // Throws ConfigError(where, "column N: ...") for what is no expression, is longer than 10,000
  // characters or nested deeper than 100.
  Expression(std::string text, std::string where);

  [[nodiscard]] const std::string& text() const { return text_; }
  // Every name, in order of appearance.
  [[nodiscard]] std::vector<std::string> names() const;

  // Throws ConfigError(where, ...) where the result is a list, lists of different lengths meet, and
  // unless the result of every operation is finite.
  [[nodiscard]] double value(const Lookup& lookup) const;

 private:
  friend class ExpressionParser;
  enum class Kind { number, name, add, subtract, multiply, divide, negate, function };
  struct Node {
    Kind kind = Kind::number;
    std::size_t column = 0;  // 1-based
    double number = 0.0;
    std::string name{};  // of a name or function
    std::vector<std::size_t> operands{};
  };

  using Results = std::vector<std::vector<double>>;  // of every node so far

  [[nodiscard]] std::vector<double> operate(const Node& node, const Results& results) const;
  [[nodiscard]] std::vector<double> each(const Node& node, const Results& results,
                                         double (*of)(const std::vector<double>&)) const;
  [[nodiscard]] std::vector<double> call(const Node& node, const Results& results) const;
  [[noreturn]] void fail(std::size_t column, std::string_view what) const;

  std::string text_;
  std::string where_;
  std::vector<Node> nodes_;  // operands before what uses them; the last is the root
};

}  // namespace moesim
