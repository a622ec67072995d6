#include "sim/reproduce/expression.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <numeric>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::size_t k_longest = 10'000;
constexpr int k_deepest = 100;

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

struct Function {
  std::string_view name;
  std::size_t operands = 0;  // 0: takes all values of all of its lists at once
  double (*of)(const std::vector<double>&) = nullptr;
};

constexpr std::array functions{
    Function{"min", 0, [](const std::vector<double>& v) { return *std::ranges::min_element(v); }},
    Function{"max", 0, [](const std::vector<double>& v) { return *std::ranges::max_element(v); }},
    Function{"mean", 0, mean_of},
    Function{"sum", 0,
             [](const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0); }},
    Function{"abs", 1, [](const std::vector<double>& v) { return std::abs(v[0]); }},
    Function{"sqrt", 1, [](const std::vector<double>& v) { return std::sqrt(v[0]); }},
    Function{"ceil", 1, [](const std::vector<double>& v) { return std::ceil(v[0]); }},
    Function{"floor", 1, [](const std::vector<double>& v) { return std::floor(v[0]); }},
    Function{"exp", 1, [](const std::vector<double>& v) { return std::exp(v[0]); }},
    Function{"log", 1, [](const std::vector<double>& v) { return std::log(v[0]); }},
    Function{"pow", 2, [](const std::vector<double>& v) { return std::pow(v[0], v[1]); }},
    Function{"less", 2, [](const std::vector<double>& v) { return v[0] < v[1] ? 1.0 : 0.0; }},
    Function{"differ", 2, [](const std::vector<double>& v) { return v[0] != v[1] ? 1.0 : 0.0; }},
    Function{"lesser", 2, [](const std::vector<double>& v) { return std::min(v[0], v[1]); }},
    Function{"greater", 2, [](const std::vector<double>& v) { return std::max(v[0], v[1]); }},
};

const Function* find_function(std::string_view name) {
  const auto found = std::ranges::find(functions, name, &Function::name);
  return found == functions.end() ? nullptr : &*found;
}

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

}  // namespace

class ExpressionParser {
 public:
  explicit ExpressionParser(Expression& expression) : out_(expression), text_(expression.text_) {}

  void parse() {
    if (text_.size() > k_longest) {
      out_.fail(1, "is longer than 10000 characters");
    }
    sum(0);
    if (next() != '\0') {
      out_.fail(column(), "an operator or the end is needed, not '" + std::string(1, next()) + "'");
    }
  }

 private:
  using Kind = Expression::Kind;

  std::size_t sum(int depth) {
    std::size_t left = product(depth);
    for (char c = next(); c == '+' || c == '-'; c = next()) {
      left = binary(c == '+' ? Kind::add : Kind::subtract, left, depth, &ExpressionParser::product);
    }
    return left;
  }

  std::size_t product(int depth) {
    std::size_t left = factor(depth);
    for (char c = next(); c == '*' || c == '/'; c = next()) {
      left =
          binary(c == '*' ? Kind::multiply : Kind::divide, left, depth, &ExpressionParser::factor);
    }
    return left;
  }

  std::size_t binary(Kind kind, std::size_t left, int depth,
                     std::size_t (ExpressionParser::*operand)(int)) {
    const std::size_t at = column();
    ++position_;
    const std::size_t right = (this->*operand)(depth);
    return add({.kind = kind, .column = at, .operands = {left, right}});
  }

  std::size_t factor(int depth) {
    if (depth >= k_deepest) {
      out_.fail(column(), "is nested more than 100 deep");
    }
    const char c = next();
    const std::size_t at = column();
    if (c == '-') {
      ++position_;
      const std::size_t operand = factor(depth + 1);
      return add({.kind = Kind::negate, .column = at, .operands = {operand}});
    }
    if (c == '(') {
      ++position_;
      const std::size_t inner = sum(depth + 1);
      close(at);
      return inner;
    }
    if (is_digit(c) || c == '.') {
      return number();
    }
    if (is_letter(c)) {
      return name(depth);
    }
    out_.fail(at, c == '\0' ? std::string("ends where a number, a name or ( is needed")
                            : "'" + std::string(1, c) + "' is no number, name or (");
  }

  std::size_t number() {
    const std::size_t at = column();
    double value = 0.0;
    const char* begin = text_.data() + position_;
    const char* end = text_.data() + text_.size();
    const auto [stop, error] = std::from_chars(begin, end, value);
    if (error != std::errc{} || !std::isfinite(value) || (stop != end && is_letter(*stop))) {
      out_.fail(at, "is not a number such as 0.357 or 1e-6");
    }
    position_ += static_cast<std::size_t>(stop - begin);
    return add({.kind = Kind::number, .column = at, .number = value, .operands = {}});
  }

  std::size_t name(int depth) {
    const std::size_t at = column();
    const std::size_t first = position_;
    while (position_ < text_.size() &&
           (is_letter(text_[position_]) || is_digit(text_[position_]) || text_[position_] == '.')) {
      ++position_;
    }
    const std::string word = text_.substr(first, position_ - first);
    if (next() == '(') {
      return call(word, at, depth);
    }
    if (word.back() == '.' || word.find("..") != std::string::npos) {
      out_.fail(at, "\"" + word + "\" is no name such as run.metrics.step_s");
    }
    return add({.kind = Kind::name, .column = at, .name = word, .operands = {}});
  }

  std::size_t call(const std::string& word, std::size_t at, int depth) {
    const Function* function = find_function(word);
    if (function == nullptr) {
      std::vector<std::string_view> known;
      for (const Function& f : functions) {
        known.push_back(f.name);
      }
      out_.fail(at, "\"" + word + "\" is no function; there are: " + joined(known));
    }
    ++position_;
    std::vector<std::size_t> operands{sum(depth + 1)};
    while (next() == ',') {
      ++position_;
      operands.push_back(sum(depth + 1));
    }
    close(at);
    if (function->operands > 0 && operands.size() != function->operands) {
      out_.fail(
          at, word +
                  (function->operands == 1 ? " takes one value, not " : " takes two values, not ") +
                  std::to_string(operands.size()));
    }
    return add({.kind = Kind::function, .column = at, .name = word, .operands = operands});
  }

  void close(std::size_t opened) {
    if (next() != ')') {
      out_.fail(column(), "the ( of column " + std::to_string(opened) + " is not closed here");
    }
    ++position_;
  }

  // The next character that is no space; '\0' at the end.
  char next() {
    while (position_ < text_.size() && text_[position_] == ' ') {
      ++position_;
    }
    return position_ < text_.size() ? text_[position_] : '\0';
  }

  [[nodiscard]] std::size_t column() const { return position_ + 1; }

  std::size_t add(Expression::Node node) {
    out_.nodes_.push_back(std::move(node));
    return out_.nodes_.size() - 1;
  }

  Expression& out_;
  const std::string& text_;
  std::size_t position_ = 0;
};

Expression::Expression(std::string text, std::string where)
    : text_(std::move(text)), where_(std::move(where)) {
  ExpressionParser(*this).parse();
}

std::vector<std::string> Expression::names() const {
  std::vector<std::string> names;
  for (const Node& node : nodes_) {
    if (node.kind == Kind::name) {
      names.push_back(node.name);
    }
  }
  return names;
}

// Operands stand before what uses them, so one pass in order evaluates all, however deep.
double Expression::value(const Lookup& lookup) const {
  Results results;
  for (const Node& node : nodes_) {
    results.push_back(node.kind == Kind::name ? lookup(node.name) : operate(node, results));
    if (!std::ranges::all_of(results.back(), [](double x) { return std::isfinite(x); })) {
      fail(node.column, "the result is not finite");
    }
  }
  if (results.back().size() != 1) {
    fail(nodes_.back().column, "the result is a list of " + std::to_string(results.back().size()) +
                                   " values; take min, max, mean or sum of it");
  }
  return results.back().front();
}

std::vector<double> Expression::operate(const Node& node, const Results& results) const {
  switch (node.kind) {
    case Kind::add:
      return each(node, results, [](const std::vector<double>& v) { return v[0] + v[1]; });
    case Kind::subtract:
      return each(node, results, [](const std::vector<double>& v) { return v[0] - v[1]; });
    case Kind::multiply:
      return each(node, results, [](const std::vector<double>& v) { return v[0] * v[1]; });
    case Kind::divide:
      return each(node, results, [](const std::vector<double>& v) { return v[0] / v[1]; });
    case Kind::negate:
      return each(node, results, [](const std::vector<double>& v) { return -v[0]; });
    case Kind::function:
      return call(node, results);
    case Kind::number:
    case Kind::name:
      break;
  }
  return {node.number};
}

// Element by element; a single value goes with every element of a list.
std::vector<double> Expression::each(const Node& node, const Results& results,
                                     double (*of)(const std::vector<double>&)) const {
  std::size_t length = 1;
  for (const std::size_t operand : node.operands) {
    const std::size_t size = results[operand].size();
    if (size != 1 && length != 1 && size != length) {
      fail(node.column, "lists of " + std::to_string(length) + " and " + std::to_string(size) +
                            " values do not go together");
    }
    length = size == 1 ? length : size;
  }
  std::vector<double> arguments(node.operands.size());
  std::vector<double> values(length);
  for (std::size_t i = 0; i < length; ++i) {
    for (std::size_t o = 0; o < arguments.size(); ++o) {
      const std::vector<double>& operand = results[node.operands[o]];
      arguments[o] = operand[operand.size() == 1 ? 0 : i];
    }
    values[i] = of(arguments);
  }
  return values;
}

std::vector<double> Expression::call(const Node& node, const Results& results) const {
  const Function* function = find_function(node.name);
  ensure(function != nullptr, "a parsed call names a function");
  if (function->operands > 0) {
    return each(node, results, function->of);
  }
  std::vector<double> arguments;
  for (const std::size_t operand : node.operands) {
    arguments.insert(arguments.end(), results[operand].begin(), results[operand].end());
  }
  if (arguments.empty()) {
    fail(node.column, node.name + " of an empty list");
  }
  return {function->of(arguments)};
}

void Expression::fail(std::size_t column, std::string_view what) const {
  throw ConfigError(where_, "column " + std::to_string(column) + ": " + std::string(what) +
                                " in \"" + text_.substr(0, 200) + "\"");
}

}  // namespace moesim
