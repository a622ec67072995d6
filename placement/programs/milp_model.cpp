#include "placement/programs/milp_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "sim/core/error.h"

namespace moesim {

int MilpModel::add_binary(double column_cost) {
  const int column = add_continuous(0.0, 1.0, column_cost);
  integer.back() = 1;
  return column;
}

int MilpModel::add_continuous(double least, double most, double column_cost) {
  ensure(least <= most && std::isfinite(column_cost), "a column has ordered bounds and a cost");
  lower.push_back(least);
  upper.push_back(most);
  cost.push_back(column_cost);
  integer.push_back(0);
  return columns() - 1;
}

void MilpModel::add_row(double least, double most, std::vector<MilpTerm> terms) {
  ensure(least <= most, "a row has ordered limits");
  rows.push_back({least, most, std::move(terms)});
}

double MilpModel::value_of(const std::vector<double>& values) const {
  double total = 0.0;
  for (std::size_t c = 0; c < cost.size(); ++c) {
    total += cost[c] * values[c];
  }
  return total;
}

bool MilpModel::feasible(const std::vector<double>& values, double tolerance) const {
  if (values.size() != cost.size()) {
    return false;
  }
  for (std::size_t c = 0; c < cost.size(); ++c) {
    if (!(values[c] >= lower[c] - tolerance) || !(values[c] <= upper[c] + tolerance) ||
        (integer[c] != 0 && std::abs(values[c] - std::round(values[c])) > tolerance)) {
      return false;
    }
  }
  for (const Row& row : rows) {
    double sum = 0.0;
    double size = 1.0;
    for (const MilpTerm& term : row.terms) {
      const double part = term.factor * values[static_cast<std::size_t>(term.column)];
      sum += part;
      size += std::abs(part);
    }
    if (sum < row.lower - tolerance * size || sum > row.upper + tolerance * size) {
      return false;
    }
  }
  return true;
}

double power_of_two_below(double value) {
  return value > 0.0 && std::isfinite(value) ? std::exp2(std::floor(std::log2(value))) : 1.0;
}

double cost_scale(const MilpModel& model) {
  double most = 0.0;
  for (const double cost : model.cost) {
    most = std::max(most, std::abs(cost));
  }
  return most > 0.0 ? 1024.0 / power_of_two_below(most) : 1.0;
}

void offer_candidate(const MilpModel& model, std::vector<double> values, MilpResult& result) {
  for (std::size_t c = 0; c < values.size() && c < model.integer.size(); ++c) {
    values[c] = model.integer[c] != 0 ? std::round(values[c]) : values[c];
  }
  if (!model.feasible(values, k_milp_tolerance)) {
    return;
  }
  const double objective = model.value_of(values);
  if (objective < result.objective) {
    result.objective = objective;
    result.values = std::move(values);
    result.status = MilpStatus::feasible;
  }
}

}  // namespace moesim
