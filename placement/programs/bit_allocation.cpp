#include "placement/programs/bit_allocation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "placement/programs/milp_model.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

// Sums of bits are whole; budgets like 2.05 * 8 are not exact.
double budget_of(const BitProblem& problem, std::size_t experts) {
  return std::floor(problem.mean_bits * static_cast<double>(experts) + 1e-9);
}

// The required widths to the experts that gain most, the least width to all others: feasible.
std::vector<std::size_t> cheapest_start(const BitProblem& problem, const BitBlock& block) {
  std::vector<std::size_t> width(block.frequency.size(), 0);
  std::size_t expert = 0;
  for (const int bits : problem.required) {
    const auto at = std::ranges::find(problem.widths, bits);
    const auto index = static_cast<std::size_t>(at - problem.widths.begin());
    if (index > 0) {
      width[expert++] = index;
    }
  }
  return width;
}

MilpModel program_of(const BitProblem& problem, const BitBlock& block) {
  MilpModel model;
  const std::vector<std::vector<double>> costs = bit_costs(problem, block);
  const std::vector<std::size_t> start = cheapest_start(problem, block);
  std::vector<MilpTerm> bits;
  std::vector<std::vector<MilpTerm>> of_width(problem.widths.size());
  for (std::size_t i = 0; i < costs.size(); ++i) {
    std::vector<MilpTerm> one;
    for (std::size_t j = 0; j < problem.widths.size(); ++j) {
      const int x = model.add_binary(costs[i][j]);
      one.push_back({x, 1.0});
      bits.push_back({x, static_cast<double>(problem.widths[j])});
      of_width[j].push_back({x, 1.0});
      model.start.push_back(start[i] == j ? 1.0 : 0.0);
    }
    model.add_row(1.0, 1.0, std::move(one));
  }
  model.add_row(-k_unbounded, budget_of(problem, costs.size()), std::move(bits));
  for (std::size_t j = 0; j < of_width.size(); ++j) {
    if (std::ranges::find(problem.required, problem.widths[j]) != problem.required.end()) {
      model.add_row(1.0, k_unbounded, std::move(of_width[j]));
    }
  }
  return model;
}

}  // namespace

std::vector<std::vector<double>> bit_costs(const BitProblem& problem, const BitBlock& block) {
  std::vector<std::vector<double>> costs;
  for (std::size_t i = 0; i < block.frequency.size(); ++i) {
    const double importance =
        std::pow(block.frequency[i], problem.alpha) * std::pow(block.weight[i], problem.beta);
    costs.emplace_back();
    for (const double error : block.error[i]) {
      costs.back().push_back(importance * std::pow(error, problem.gamma));
    }
  }
  return costs;
}

BitAllocation allocate_bits(const BitProblem& problem, const SolverRun& run) {
  BitAllocation allocation;
  allocation.proven = true;
  std::size_t experts = 0;
  double used = 0.0;
  for (const BitBlock& block : problem.blocks) {
    const MilpModel model = program_of(problem, block);
    const MilpResult result = solve_milp(model, {.nodes = 1'000'000}, run);
    ensure(!result.values.empty(), "a bit problem that was checked has an allocation");
    std::vector<int> bits;
    const std::size_t widths = problem.widths.size();
    for (std::size_t i = 0; i < block.frequency.size(); ++i) {
      for (std::size_t j = 0; j < widths; ++j) {
        if (result.values[i * widths + j] > 0.5) {
          bits.push_back(problem.widths[j]);
        }
      }
    }
    used += std::accumulate(bits.begin(), bits.end(), 0.0);
    experts += bits.size();
    allocation.bits.push_back(std::move(bits));
    allocation.cost.push_back(result.objective);
    allocation.objective += result.objective;
    allocation.lower_bound += std::max(0.0, result.bound);
    allocation.proven = allocation.proven && result.status == MilpStatus::optimal;
  }
  allocation.mean_bits = used / static_cast<double>(std::max<std::size_t>(experts, 1));
  return allocation;
}

}  // namespace moesim
