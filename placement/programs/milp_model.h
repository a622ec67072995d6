// A mixed-integer linear program and its solver, whichever that is: CBC, or HiGHS where CMake found
// it. Minimisation; columns and rows are numbered in the order in which they were added.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "placement/solver.h"

namespace moesim {

inline constexpr double k_unbounded = std::numeric_limits<double>::infinity();

struct MilpTerm {
  int column = 0;
  double factor = 0.0;
};

// Rows should have factors near 1 (tolerances are absolute): divide by a power of two first. Costs
// need no scaling, the solver's wrapper does it.
struct MilpModel {
  struct Row {
    double lower = -k_unbounded;
    double upper = k_unbounded;
    std::vector<MilpTerm> terms;
  };
  std::vector<double> lower;  // [column]
  std::vector<double> upper;
  std::vector<double> cost;
  std::vector<std::uint8_t> integer;
  std::vector<Row> rows;
  // A feasible point to start from (its integer columns are what counts), or empty. One that is not
  // feasible is ignored.
  std::vector<double> start;

  [[nodiscard]] int columns() const { return static_cast<int>(cost.size()); }
  int add_binary(double column_cost);
  int add_continuous(double least, double most, double column_cost);
  void add_row(double least, double most, std::vector<MilpTerm> terms);
  [[nodiscard]] double value_of(const std::vector<double>& values) const;
  // Bounds, integrality and rows, all within `tolerance`.
  [[nodiscard]] bool feasible(const std::vector<double>& values, double tolerance) const;
};

struct MilpLimits {
  // Nodes of the search tree: the budget that leaves results independent of time.
  std::int64_t nodes = 1'000'000'000;
  // Wall-clock seconds for this call, beside those of the run.
  double seconds = k_unbounded;
};

enum class MilpStatus {
  optimal,     // to a gap of zero, within the solver's tolerances
  feasible,    // stopped by a limit
  infeasible,  // there is no solution
  none         // stopped by a limit before a solution was found
};

struct MilpResult {
  MilpStatus status = MilpStatus::none;
  std::vector<double> values;  // [column], integers rounded; empty without a solution
  double objective = k_unbounded;
  // No solution costs less: what the solver proved, less its tolerances (1e-6, relative and of the
  // largest cost). -infinity where it proved nothing.
  double bound = -k_unbounded;
  std::int64_t nodes = 0;
};

// One thread, silent, the same answer whenever no time limit strikes. Stops within about 0.3 s of
// the run's end (budget or cancellation) on models of up to some thousand columns.
MilpResult solve_milp(const MilpModel& model, const MilpLimits& limits, const SolverRun& run);

// Name and version of the solver that was compiled in.
std::string_view milp_solver_name();

// The largest power of two that is not above `value` (> 0; else 1): a divisor that loses no bits.
double power_of_two_below(double value);

// What a solver's wrapper multiplies costs by: tolerances are absolute, so the largest becomes
// about 1000. A power of two.
double cost_scale(const MilpModel& model);

// Of rows, bounds and integers, relative.
inline constexpr double k_milp_tolerance = 1e-6;

// Keeps the candidate in `result` if it is feasible once its integers are rounded, and better.
void offer_candidate(const MilpModel& model, std::vector<double> values, MilpResult& result);

}  // namespace moesim
