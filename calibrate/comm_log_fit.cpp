#include "calibrate/comm_log_fit.h"

#include <Eigen/Dense>
#include <cmath>

#include "sim/core/error.h"

namespace moesim {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr double k_huber = 0.1;
constexpr double k_prior = 1e-3;
constexpr double k_step = 1e-5;      // of a log parameter, for derivatives
constexpr double k_largest_move = 1.0;
constexpr int k_iterations = 300;
constexpr int k_damping_tries = 12;

struct Problem {
  const Predictor* predict;
  VectorXd log_measured;
  VectorXd log_guess;

  [[nodiscard]] VectorXd residuals(const VectorXd& log_parameters) const {
    const VectorXd p = log_parameters.array().exp().matrix();
    VectorXd out(log_measured.size());
    (*predict)({p.data(), static_cast<std::size_t>(p.size())},
               {out.data(), static_cast<std::size_t>(out.size())});
    return out.array().log().matrix() - log_measured;
  }

  [[nodiscard]] double cost(const VectorXd& log_parameters, const VectorXd& residual) const {
    const double data =
        (((residual.array() / k_huber).square() + 1.0).sqrt() - 1.0).sum() * k_huber * k_huber;
    const double cost = data + 0.5 * k_prior * (log_parameters - log_guess).squaredNorm();
    return std::isfinite(cost) ? cost : HUGE_VAL;
  }

  [[nodiscard]] MatrixXd jacobian(const VectorXd& log_parameters, const VectorXd& residual) const {
    MatrixXd j(residual.size(), log_parameters.size());
    for (Eigen::Index c = 0; c < log_parameters.size(); ++c) {
      VectorXd moved = log_parameters;
      moved[c] += k_step;
      j.col(c) = (residuals(moved) - residual) / k_step;
    }
    return j;
  }
};

// One accepted step; false when none lowers the cost.
bool improve(const Problem& problem, VectorXd& p, VectorXd& residual, double& cost,
             double& damping) {
  const MatrixXd j = problem.jacobian(p, residual);
  const VectorXd weight = ((residual.array() / k_huber).square() + 1.0).sqrt().inverse().matrix();
  MatrixXd normal = j.transpose() * weight.asDiagonal() * j;
  const VectorXd gradient = j.transpose() * (weight.array() * residual.array()).matrix() +
                            k_prior * (p - problem.log_guess);
  normal.diagonal().array() += k_prior;
  const VectorXd scale =
      (normal.diagonal().array() + 1e-3 * static_cast<double>(residual.size())).matrix();
  for (int attempt = 0; attempt < k_damping_tries; ++attempt) {
    MatrixXd damped = normal;
    damped.diagonal() += damping * scale;
    VectorXd move = damped.ldlt().solve(-gradient);
    move = move.array().max(-k_largest_move).min(k_largest_move).matrix();
    const VectorXd next = p + move;
    const VectorXd next_residual = problem.residuals(next);
    const double next_cost = problem.cost(next, next_residual);
    if (next_cost < cost) {
      const bool worth_going_on = cost - next_cost > 1e-12 * cost;
      p = next;
      residual = next_residual;
      cost = next_cost;
      damping = std::max(damping / 3.0, 1e-9);
      return worth_going_on;
    }
    damping *= 4.0;
  }
  return false;
}

}  // namespace

std::vector<double> fit_log(const Predictor& predict, std::span<const double> measured,
                            std::span<const double> guess) {
  ensure(!measured.empty() && !guess.empty(), "a fit has measurements and parameters");
  Problem problem;
  problem.predict = &predict;
  const auto rows = static_cast<Eigen::Index>(measured.size());
  const auto count = static_cast<Eigen::Index>(guess.size());
  problem.log_measured =
      Eigen::Map<const VectorXd>(measured.data(), rows).array().log().matrix();
  problem.log_guess = Eigen::Map<const VectorXd>(guess.data(), count).array().log().matrix();
  VectorXd p = problem.log_guess;
  VectorXd residual = problem.residuals(p);
  double cost = problem.cost(p, residual);
  ensure(std::isfinite(cost), "the first guess predicts positive finite values");
  double damping = 1e-2;
  for (int i = 0; i < k_iterations && improve(problem, p, residual, cost, damping); ++i) {
  }
  std::vector<double> parameters;
  for (const double log_parameter : p) {
    parameters.push_back(std::exp(log_parameter));
  }
  return parameters;
}

}  // namespace moesim
