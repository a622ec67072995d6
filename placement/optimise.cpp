#include "placement/optimise.h"

#include <algorithm>

#include "sim/core/error.h"

namespace moesim {
namespace {

// Below this gap an optimum is proven: what rounding in sums of loads and pairs leaves.
constexpr double k_rounding = 1e-9;
constexpr int k_bound_iterations = 160;

// Of the time limit, for what follows the search: evaluation, the first steps of the bound and the
// report walk through every pair of experts some dozen times.
double share_for_bounds(const PlacementProblem& problem, double limit_s) {
  const double entries =
      static_cast<double>(problem.transitions.size()) * problem.experts * problem.experts;
  constexpr double seconds_per_entry = 1e-7;
  return std::clamp(entries * seconds_per_entry / limit_s, 0.3, 0.7);
}

// Objective, gap and proof of result.placement under result.lower_bound.
void score(const PlacementProblem& problem, PlacementResult& result) {
  result.score = evaluate(problem, result.placement);
  const double objective = result.score.objective;
  ensure(result.lower_bound <= objective * (1.0 + k_rounding) + 1e-300,
         "no bound exceeds the objective of a feasible placement");
  result.lower_bound = std::min(result.lower_bound, objective);
  result.proven_optimal = result.lower_bound >= objective * (1.0 - k_rounding);
  if (result.proven_optimal) {
    result.lower_bound = objective;
  }
  result.gap =
      result.lower_bound > 0.0 ? (objective - result.lower_bound) / result.lower_bound : 0.0;
}

void conclude(const PlacementProblem& problem, double proven_by_solver, SolverRun& run,
              PlacementResult& result) {
  check_feasible(problem, result.placement, result.method + ": placement");
  const double objective = evaluate(problem, result.placement).objective;
  run.note_objective(objective);
  const bool exact = proven_by_solver >= objective * (1.0 - k_rounding);
  result.bound = placement_bound(problem, result.placement, exact ? 8 : k_bound_iterations, run);
  result.lower_bound = std::max(result.bound.value, proven_by_solver);
  score(problem, result);
  run.note_bound(result.lower_bound);
  result.history = run.history();
  result.wall_s = run.seconds();
}

}  // namespace

PlacementResult optimise_placement(const PlacementProblem& problem, const std::string& method,
                                   const SolveOptions& options) {
  const PlacementSolverEntry& solver = find_placement_solver(method, "--method");
  if (const std::string reason = solver.unfit(problem); !reason.empty()) {
    throw ConfigError(problem.name, method + " cannot solve this problem: " + reason);
  }
  SolverRun run(options);
  run.reserve(share_for_bounds(problem, options.time_limit_s));
  SolverAnswer answer = solver.solve(problem, run);
  run.reserve(0.0);
  if (answer.placement.slot_expert.empty()) {
    throw ConfigError(problem.name, method + " found no feasible placement" +
                                        (run.stopped() ? " in time; give it longer"
                                                       : "; relax pinned, forbidden or capacity"));
  }
  PlacementResult result;
  result.method = answer.found_by.empty() || answer.found_by == method
                      ? method
                      : method + " (" + answer.found_by + ")";
  result.placement = std::move(answer.placement);
  conclude(problem, answer.lower_bound, run, result);
  return result;
}

void replace_placement(const PlacementProblem& problem, const ExpertPlacement& placement,
                       PlacementResult& result) {
  result.placement = placement;
  score(problem, result);
}

}  // namespace moesim
