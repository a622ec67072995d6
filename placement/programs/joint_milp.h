// F itself as an integer program, for small problems: an assignment and a proven lower bound.
#pragma once

#include <cstdint>
#include <string>

#include "placement/problem.h"
#include "placement/solver.h"

namespace moesim {

struct JointMilpResult {
  Assignment devices;
  double objective = 0.0;    // of `devices`, from the definition
  double lower_bound = 0.0;  // no assignment costs less
  bool proven = false;       // the bound is the objective, within 1e-6
};

// Starts from `start` (feasible; empty: a balanced one), never returns anything worse. Without a
// time limit, `nodes` search nodes for the program over all layers, a twentieth of them for each
// shorter run. Not for the dispatch model.
JointMilpResult solve_joint_milp(const PlacementProblem& problem, const Assignment& start,
                                 SolverRun& run, std::int64_t nodes = 20'000);

// For the solver table.
SolverAnswer place_milp(const PlacementProblem& problem, SolverRun& run);
std::string unfit_milp(const PlacementProblem& problem);

}  // namespace moesim
