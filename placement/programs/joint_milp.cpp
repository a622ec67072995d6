// Programs over short runs of layers are solved first; their bounds are rows of longer ones
// ("Russian dolls"): without them CBC does not get anywhere with four layers of six experts.
#include "placement/programs/joint_milp.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "placement/heuristics/item_objective.h"
#include "placement/programs/joint_program.h"
#include "placement/programs/milp_model.h"
#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

// Columns of one run of layers, from three on. Longer runs are left out, and so is the traffic
// between runs in the bound. CBC needs seconds for the first linear program of k_most_columns.
constexpr std::int64_t k_most_run_columns = 1'500;
constexpr std::int64_t k_most_columns = 4'000;

// Renames nodes, and devices inside nodes, in the order in which the items of layer `first` (by
// `order`) meet them. Costs stay what they are.
void rename_devices(const PlacementProblem& problem, const std::vector<int>& order, int first,
                    Assignment& devices) {
  const int per_node = problem.devices_per_node;
  std::vector<int> new_node(at(problem.nodes()), -1);
  std::vector<int> new_local(at(problem.devices), -1);
  std::vector<int> locals(at(problem.nodes()), 0);
  int nodes = 0;
  const auto meet = [&](int g) {
    const int n = problem.node_of(g);
    if (new_node[at(n)] < 0) {
      new_node[at(n)] = nodes++;
    }
    if (new_local[at(g)] < 0) {
      new_local[at(g)] = locals[at(n)]++;
    }
  };
  for (const int item : order) {
    meet(devices[at(first) * at(problem.experts) + at(item)]);
  }
  for (int g = 0; g < problem.devices; ++g) {
    meet(g);
  }
  for (std::int32_t& g : devices) {
    g = new_node[at(problem.node_of(g))] * per_node + new_local[at(g)];
  }
}

std::vector<int> heaviest_first(const std::vector<double>& loads) {
  std::vector<int> order(loads.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int a, int b) { return loads[at(a)] > loads[at(b)]; });
  return order;
}

// One run of layers; improves `devices` there. Returns the bound.
double solve_run(const PlacementProblem& problem, int first, int end,
                 const std::vector<LayerRunBound>& known, const MilpLimits& limits,
                 const SolverRun& run, Assignment& devices) {
  JointProgram program(problem, first, end);
  for (const LayerRunBound& shorter : known) {
    if (shorter.first >= first && shorter.end <= end) {
      program.add_run_bound(shorter);
    }
  }
  if (has_alike_devices(problem)) {
    const std::vector<int> order = heaviest_first(problem.loads[at(first)]);
    rename_devices(problem, order, first, devices);
    program.break_symmetry(order);
  }
  program.set_start(devices);
  const MilpResult result = solve_milp(program.model(), limits, run);
  if (!result.values.empty()) {
    program.read(result.values, devices);
  }
  double bound = std::max(0.0, result.bound + program.constant());
  for (const LayerRunBound& shorter : known) {
    if (shorter.first >= first && shorter.end <= end) {
      bound = std::max(bound, shorter.bound);
    }
  }
  return has_whole_objective(problem) ? std::ceil(bound - 1e-9 * bound) : bound;
}

}  // namespace

JointMilpResult solve_joint_milp(const PlacementProblem& problem, const Assignment& start,
                                 SolverRun& run, std::int64_t nodes) {
  ensure(problem.comm != CommModel::dispatch, "the joint program knows no dispatch model");
  JointMilpResult result;
  result.devices = start.empty() ? balanced_starts(problem) : start;
  result.objective = item_objective(problem, result.devices);
  run.note_objective(result.objective);
  std::vector<LayerRunBound> known;
  int longest = 1;
  while (problem.comm == CommModel::interlayer && longest < problem.layers &&
         joint_columns(problem, 0, longest + 1) <=
             (longest == 1 ? k_most_columns : k_most_run_columns)) {
    ++longest;
  }
  for (int length = 1; length <= longest; ++length) {
    for (int first = 0; first + length <= problem.layers && !run.stopped(); ++first) {
      const bool last = length == longest;
      const double share = last && longest > 1 ? 1.0 : 0.5 / (problem.layers - first);
      Assignment devices = result.devices;
      const MilpLimits limits{length == problem.layers ? nodes : nodes / 20 + 1,
                              run.seconds_left() * share};
      const double bound = solve_run(problem, first, first + length, known, limits, run, devices);
      known.push_back({first, first + length, bound});
      const double objective = item_objective(problem, devices);
      if (objective < result.objective) {
        result.devices = std::move(devices);
        result.objective = objective;
        run.note_objective(objective);
      }
    }
  }
  // Runs side by side leave only traffic between them out.
  std::vector<double> proven(at(problem.layers) + 1, 0.0);
  for (int end = 1; end <= problem.layers; ++end) {
    for (const LayerRunBound& shorter : known) {
      if (shorter.end == end) {
        proven[at(end)] = std::max(proven[at(end)], proven[at(shorter.first)] + shorter.bound);
      }
    }
    proven[at(end)] = std::max(proven[at(end)], proven[at(end) - 1]);
  }
  result.lower_bound = proven.back();
  ensure(result.lower_bound <= result.objective * (1.0 + 1e-9) + 1e-12,
         "a lower bound is not above an objective");
  result.lower_bound = std::min(result.lower_bound, result.objective);
  run.note_bound(result.lower_bound);
  result.proven = result.objective - result.lower_bound <= 2e-6 * result.objective;
  return result;
}

SolverAnswer place_milp(const PlacementProblem& problem, SolverRun& run) {
  const JointMilpResult result = solve_joint_milp(problem, {}, run);
  return {placement_of(problem, result.devices), result.lower_bound};
}

std::string unfit_milp(const PlacementProblem& problem) {
  if (problem.redundant > 0) {
    return "it places one copy of every expert";
  }
  if (problem.comm == CommModel::dispatch) {
    return "the joint integer program knows no dispatch model";
  }
  const bool pairs = problem.comm == CommModel::interlayer && problem.layers > 1;
  const std::int64_t columns = joint_columns(problem, 0, pairs ? 2 : 1);
  if (columns > k_most_columns) {
    return "two layers of the joint integer program would have " + std::to_string(columns) +
           " columns; it is for at most " + std::to_string(k_most_columns);
  }
  return {};
}

}  // namespace moesim
