#include "sim/reproduce/fit.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr double k_accuracy = 1e-4;
constexpr double k_narrowest = 1e-9;
constexpr int k_most_evaluations = 40;

class Search {
 public:
  explicit Search(const FitProblem& problem) : problem_(problem), logarithmic_(problem.low > 0) {}

  ParameterFit run() {
    double a = scaled(problem_.low);
    double b = scaled(problem_.high);
    double error_a = error_at(a);
    if (done()) {
      return best_;
    }
    const double error_b = error_at(b);
    if (done()) {
      return best_;
    }
    if (error_a * error_b < 0) {
      illinois(a, error_a, b, error_b);
    } else {
      golden_section(a, b);
    }
    return best_;
  }

 private:
  [[nodiscard]] double scaled(double parameter) const {
    return logarithmic_ ? std::log(parameter) : parameter;
  }
  [[nodiscard]] bool done() const {
    return best_.reached || best_.evaluations >= k_most_evaluations;
  }

  double error_at(double x) {
    const double parameter =
        std::clamp(logarithmic_ ? std::exp(x) : x, problem_.low, problem_.high);
    const double figure = problem_.figure(parameter);
    const double error = figure - problem_.target;
    ++best_.evaluations;
    if (best_.evaluations == 1 || std::abs(error) < std::abs(best_.figure - problem_.target)) {
      best_.parameter = parameter;
      best_.figure = figure;
    }
    const double scale = problem_.target == 0.0 ? 1.0 : std::abs(problem_.target);
    best_.reached = std::abs(best_.figure - problem_.target) <= k_accuracy * scale;
    return error;
  }

  // Keeps a bracket; the end that stays twice counts half, so that both ends move.
  void illinois(double a, double error_a, double b, double error_b) {
    int stayed = 0;
    while (!done() && std::abs(b - a) > k_narrowest) {
      const double x = (a * error_b - b * error_a) / (error_b - error_a);
      const double error = error_at(x);
      if (error * error_b > 0) {
        b = x;
        error_b = error;
        error_a = stayed == -1 ? error_a / 2 : error_a;
        stayed = -1;
      } else {
        a = x;
        error_a = error;
        error_b = stayed == 1 ? error_b / 2 : error_b;
        stayed = 1;
      }
    }
  }

  void golden_section(double a, double b) {
    const double share = (std::sqrt(5.0) - 1) / 2;
    double left = b - share * (b - a);
    double right = a + share * (b - a);
    double at_left = std::abs(error_at(left));
    double at_right = std::abs(error_at(right));
    while (!done() && std::abs(b - a) > k_narrowest) {
      if (at_left <= at_right) {
        b = right;
        right = left;
        at_right = at_left;
        left = b - share * (b - a);
        at_left = std::abs(error_at(left));
      } else {
        a = left;
        left = right;
        at_left = at_right;
        right = a + share * (b - a);
        at_right = std::abs(error_at(right));
      }
    }
  }

  const FitProblem& problem_;
  bool logarithmic_;
  ParameterFit best_;
};

}  // namespace

ParameterFit fit_parameter(const FitProblem& problem) {
  ensure(problem.low < problem.high, "a fit searches between two different ends");
  return Search(problem).run();
}

}  // namespace moesim
