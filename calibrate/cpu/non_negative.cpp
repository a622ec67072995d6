#include "calibrate/cpu/non_negative.h"

#include <Eigen/Dense>
#include <algorithm>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr double k_flat = 1e-9;  // of the gradient, in units of the unexplained part

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

VectorXd solve_free(const MatrixXd& a, const VectorXd& b, const std::vector<Index>& free) {
  MatrixXd part(a.rows(), static_cast<Index>(free.size()));
  for (std::size_t j = 0; j < free.size(); ++j) {
    part.col(static_cast<Index>(j)) = a.col(free[j]);
  }
  return part.colPivHouseholderQr().solve(b);
}

// Moves from x towards the free solution until the first coefficient reaches zero; that one and its
// like leave the free set. False: the free solution itself is positive and x is now that.
bool step_to_boundary(const VectorXd& solution, std::vector<Index>& free, VectorXd& x) {
  double share = 1.0;
  for (std::size_t j = 0; j < free.size(); ++j) {
    const double now = x[free[j]];
    const double then = solution[static_cast<Index>(j)];
    if (then <= 0.0) {
      share = std::min(share, now / (now - then));
    }
  }
  const bool cut = (solution.array() <= 0.0).any();
  std::vector<Index> kept;
  for (std::size_t j = 0; j < free.size(); ++j) {
    double& value = x[free[j]];
    const double then = solution[static_cast<Index>(j)];
    value += share * (then - value);
    if (cut && then <= 0.0 && value <= 1e-14) {
      value = 0.0;
    } else {
      kept.push_back(free[j]);
    }
  }
  free = kept;
  return cut;
}

}  // namespace

std::vector<double> fit_non_negative(const std::vector<std::vector<double>>& features,
                                     const std::vector<double>& values) {
  ensure(!features.empty() && features.size() == values.size(), "a fit has one value per row");
  const auto rows = static_cast<Index>(features.size());
  const auto n = static_cast<Index>(features.front().size());
  MatrixXd a(rows, n);
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < n; ++j) {
      const auto r = static_cast<std::size_t>(i);
      a(i, j) = features[r][static_cast<std::size_t>(j)] / values[r];
    }
  }
  VectorXd scale = a.colwise().norm();
  for (Index j = 0; j < n; ++j) {
    scale[j] = scale[j] > 0.0 ? scale[j] : 1.0;
    a.col(j) /= scale[j];
  }
  const VectorXd b = VectorXd::Ones(rows);
  VectorXd x = VectorXd::Zero(n);
  std::vector<Index> free;
  // Features that nearly repeat others may look useful and come out negative all the same: they
  // must not be tried again before something else has changed.
  std::vector<Index> refused;
  for (Index round = 0; round < 10 * n; ++round) {
    VectorXd gradient = a.transpose() * (b - a * x);
    for (const std::vector<Index>* out : {&free, &refused}) {
      for (const Index j : *out) {
        gradient[j] = 0.0;
      }
    }
    Index best = 0;
    if (gradient.maxCoeff(&best) <= k_flat * b.norm()) {
      break;
    }
    free.push_back(best);
    while (!free.empty() && step_to_boundary(solve_free(a, b, free), free, x)) {
    }
    if (std::ranges::find(free, best) == free.end()) {
      refused.push_back(best);
    } else {
      refused.clear();
    }
  }
  std::vector<double> result;
  for (Index j = 0; j < n; ++j) {
    result.push_back(x[j] / scale[j]);
  }
  return result;
}

}  // namespace moesim
