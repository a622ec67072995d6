// From a problem to a placement with its proof: solver, bound, and an evaluation that trusts
// neither.
#pragma once

#include <string>
#include <vector>

#include "placement/bounds/bounds.h"
#include "placement/evaluate.h"
#include "placement/solver.h"

namespace moesim {

struct PlacementResult {
  std::string method;  // what found it: the solver asked for, or "auto (...)"
  ExpertPlacement placement;
  PlacementScore score;
  PlacementBound bound;
  double lower_bound = 0.0;  // the better of the bound's and the solver's
  double gap = 0.0;          // (objective - lower_bound) / lower_bound; 0 where both are 0
  bool proven_optimal = false;
  std::vector<ProgressPoint> history;
  double wall_s = 0.0;
};

// Throws ConfigError for an unknown or unfit method, or if no feasible placement was found;
// InvariantError if a bound exceeds an objective.
PlacementResult optimise_placement(const PlacementProblem& problem, const std::string& method,
                                   const SolveOptions& options);

// Another placement under the same bound. Throws InvariantError if the bound exceeds its objective.
void replace_placement(const PlacementProblem& problem, const ExpertPlacement& placement,
                       PlacementResult& result);

}  // namespace moesim
