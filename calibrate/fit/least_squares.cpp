#include "calibrate/fit/least_squares.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr double k_scale = 0.1;        // residuals beyond 10 % count linearly
constexpr double k_prior_width = 1.5;  // a factor of 4.5 costs as much as one row that is 10 % off
constexpr double k_step = 1e-3;

class Problem {
 public:
  Problem(std::span<const FitParameter> parameters, std::span<const double> measured,
          const std::function<void(std::span<const double>, std::span<double>)>& predict)
      : parameters_(parameters), predict_(predict) {
    for (const double value : measured) {
      log_measured_.push_back(std::log(value));
    }
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (!parameters[i].fixed) {
        free_.push_back(i);
      }
    }
    prediction_.resize(measured.size());
  }

  [[nodiscard]] std::size_t free_count() const { return free_.size(); }
  [[nodiscard]] double start(std::size_t i) const { return std::log(parameters_[free_[i]].start); }
  [[nodiscard]] double clamp(std::size_t i, double x) const {
    const FitParameter& p = parameters_[free_[i]];
    return std::clamp(x, std::log(p.min), std::log(p.max));
  }
  [[nodiscard]] std::vector<double> coefficients(const Eigen::VectorXd& x) const {
    std::vector<double> c;
    for (const FitParameter& p : parameters_) {
      c.push_back(p.start);
    }
    for (std::size_t i = 0; i < free_.size(); ++i) {
      c[free_[i]] = std::exp(x[static_cast<Eigen::Index>(i)]);
    }
    return c;
  }
  void residuals(const Eigen::VectorXd& x, Eigen::VectorXd& r) {
    const auto c = coefficients(x);
    predict_(c, prediction_);
    r.resize(static_cast<Eigen::Index>(prediction_.size()));
    for (std::size_t i = 0; i < prediction_.size(); ++i) {
      ensure(prediction_[i] > 0, "a kernel form gives a positive time");
      r[static_cast<Eigen::Index>(i)] = (std::log(prediction_[i]) - log_measured_[i]) / k_scale;
    }
  }
  [[nodiscard]] double prior(const Eigen::VectorXd& x) const {
    double sum = 0;
    for (std::size_t i = 0; i < free_.size(); ++i) {
      const double d = (x[static_cast<Eigen::Index>(i)] - start(i)) / k_prior_width;
      sum += d * d;
    }
    return sum;
  }

 private:
  std::span<const FitParameter> parameters_;
  const std::function<void(std::span<const double>, std::span<double>)>& predict_;
  std::vector<double> log_measured_;
  std::vector<std::size_t> free_;
  std::vector<double> prediction_;
};

double robust_loss(const Eigen::VectorXd& r) {
  double sum = 0;
  for (const double value : r) {
    sum += 2 * (std::sqrt(1 + value * value) - 1);
  }
  return sum;
}

// J^T W J and J^T W r of the robust loss and the prior at x.
void normal_equations(Problem& problem, const Eigen::VectorXd& x, const Eigen::VectorXd& r,
                      Eigen::MatrixXd& hessian, Eigen::VectorXd& gradient) {
  const auto n = static_cast<Eigen::Index>(problem.free_count());
  Eigen::MatrixXd jacobian(r.size(), n);
  Eigen::VectorXd up;
  Eigen::VectorXd down;
  for (Eigen::Index i = 0; i < n; ++i) {
    Eigen::VectorXd moved = x;
    moved[i] = x[i] + k_step;
    problem.residuals(moved, up);
    moved[i] = x[i] - k_step;
    problem.residuals(moved, down);
    jacobian.col(i) = (up - down) / (2 * k_step);
  }
  const Eigen::VectorXd weight = (1 + r.array().square()).sqrt().inverse();
  hessian = jacobian.transpose() * weight.asDiagonal() * jacobian;
  gradient = jacobian.transpose() * weight.asDiagonal() * r;
  for (Eigen::Index i = 0; i < n; ++i) {
    hessian(i, i) += 1 / (k_prior_width * k_prior_width);
    gradient[i] +=
        (x[i] - problem.start(static_cast<std::size_t>(i))) / (k_prior_width * k_prior_width);
  }
}

}  // namespace

LeastSquares fit_coefficients(
    std::span<const FitParameter> parameters, std::span<const double> measured,
    const std::function<void(std::span<const double>, std::span<double>)>& predict,
    int max_iterations) {
  ensure(!measured.empty(), "a fit needs rows");
  Problem problem(parameters, measured, predict);
  const auto n = static_cast<Eigen::Index>(problem.free_count());
  Eigen::VectorXd x(n);
  for (Eigen::Index i = 0; i < n; ++i) {
    x[i] = problem.start(static_cast<std::size_t>(i));
  }
  Eigen::VectorXd r;
  problem.residuals(x, r);
  double loss = robust_loss(r) + problem.prior(x);
  double damping = 1e-2;
  LeastSquares result;
  Eigen::MatrixXd hessian;
  Eigen::VectorXd gradient;
  int rejected = 0;
  bool fresh = true;
  while (result.iterations < max_iterations && n > 0 && rejected < 8) {
    if (fresh) {
      normal_equations(problem, x, r, hessian, gradient);
      fresh = false;
    }
    ++result.iterations;
    Eigen::MatrixXd damped = hessian;
    for (Eigen::Index i = 0; i < n; ++i) {
      damped(i, i) += damping * (hessian(i, i) + 1e-6);
    }
    const Eigen::VectorXd step = damped.ldlt().solve(gradient);
    Eigen::VectorXd candidate = x;
    for (Eigen::Index i = 0; i < n; ++i) {
      candidate[i] =
          problem.clamp(static_cast<std::size_t>(i), x[i] - std::clamp(step[i], -1.0, 1.0));
    }
    Eigen::VectorXd candidate_r;
    problem.residuals(candidate, candidate_r);
    const double candidate_loss = robust_loss(candidate_r) + problem.prior(candidate);
    if (candidate_loss < loss) {
      const bool converged = loss - candidate_loss < 1e-6 * loss;
      x = candidate;
      r = candidate_r;
      loss = candidate_loss;
      damping = std::max(damping / 4, 1e-7);
      rejected = 0;
      fresh = true;
      if (converged) {
        break;
      }
    } else {
      damping *= 5;
      ++rejected;
    }
  }
  result.coefficients = problem.coefficients(x);
  result.loss = robust_loss(r) / static_cast<double>(measured.size());
  return result;
}

}  // namespace moesim
