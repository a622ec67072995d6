// Which expert is quantised to how many bits (MC-MoE, arXiv 2410.06270): per block
//   min sum_i phi_i^alpha w_i^beta sum_j (eps_ij x_ij)^gamma
// with x_ij in {0, 1}, one width j per expert, at most `mean_bits` bits per expert on average, and
// (optionally) at least one expert of certain widths. Blocks do not share their budgets.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "placement/solver.h"

namespace moesim {

struct BitBlock {
  std::vector<double> frequency;           // [expert] phi >= 0: how often it is chosen
  std::vector<double> weight;              // [expert] w >= 0: its mean gate weight
  std::vector<std::vector<double>> error;  // [expert][width] eps >= 0: error of its output
};

struct BitProblem {
  std::string name;
  std::vector<int> widths;    // bits, ascending
  double mean_bits = 0.0;     // budget per expert
  std::vector<int> required;  // widths of which every block has one expert at least
  double alpha = 1.0;
  double beta = 1.0;
  double gamma = 2.0;
  std::vector<BitBlock> blocks;
};

struct BitAllocation {
  std::vector<std::vector<int>> bits;  // [block][expert]
  std::vector<double> cost;            // [block]
  double objective = 0.0;              // sum of costs
  double lower_bound = 0.0;            // no allocation costs less
  double mean_bits = 0.0;              // used, over all experts
  bool proven = false;                 // every block was solved to optimality
};

// {"kind": "bits", "name"?, "widths" (default [1, 2, 3]), "mean_bits", "required_widths" (default:
// the two largest widths; [] for none), "alpha", "beta", "gamma" (1, 1, 2), "blocks":
// [{"frequency", "weight", "error": [expert][width]}]}. Throws ConfigError(name + pointer, ...),
// also when no allocation can keep to the budget.
BitProblem read_bit_problem(const nlohmann::json& document, const std::string& name);

// Is this document a bit problem?
bool is_bit_problem(const nlohmann::json& document);

BitAllocation allocate_bits(const BitProblem& problem, const SolverRun& run);

// {"kind": "bit_allocation", "name", "bits": [block][expert], "cost": [block], "objective",
// "lower_bound", "status": "optimal" or "bounded", "mean_bits", "solver"}.
nlohmann::json bit_allocation_json(const BitProblem& problem, const BitAllocation& allocation);

// phi^alpha w^beta eps^gamma of every expert and width of a block: [expert][width].
std::vector<std::vector<double>> bit_costs(const BitProblem& problem, const BitBlock& block);

}  // namespace moesim
