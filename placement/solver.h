// Placement solvers: one function each, one table. Every solver is any-time: it keeps its best
// answer and stops when the run says so.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "placement/placement.h"
#include "placement/problem.h"

namespace moesim {

// [layer * experts + item] -> device.
using Assignment = std::vector<std::int32_t>;

struct SolveOptions {
  std::uint64_t seed = 1;
  int threads = 1;
  // Wall-clock limit; infinite: iteration budgets alone decide, and results are deterministic for
  // any number of threads.
  double time_limit_s = std::numeric_limits<double>::infinity();
  // Seconds of it that were gone before the call: reading a large problem, say.
  double already_spent_s = 0.0;
  // Set by a signal handler, say: the run then returns its best.
  const std::atomic<bool>* cancel = nullptr;
};

// A point of the any-time curve.
struct ProgressPoint {
  double seconds = 0.0;
  double objective = 0.0;
  double lower_bound = 0.0;
};

// Budget and history of one call; shared by everything that works on it.
class SolverRun {
 public:
  explicit SolverRun(const SolveOptions& options);

  [[nodiscard]] const SolveOptions& options() const { return options_; }
  [[nodiscard]] double seconds() const;
  [[nodiscard]] double seconds_left() const {
    return options_.time_limit_s * (1.0 - reserved_) - seconds();
  }
  // Keeps a share of the time limit for what comes after the search (bounds).
  void reserve(double share) { reserved_ = share; }
  // Cheap enough for every few microseconds of work.
  [[nodiscard]] bool stopped() const;
  [[nodiscard]] bool limited() const {
    return options_.time_limit_s < std::numeric_limits<double>::infinity();
  }

  // For the curve; thread-safe. Points that improve nothing are dropped.
  void note_objective(double objective);
  void note_bound(double lower_bound);
  [[nodiscard]] std::vector<ProgressPoint> history() const;

 private:
  SolveOptions options_;
  double reserved_ = 0.0;
  std::chrono::steady_clock::time_point start_;
  mutable std::mutex mutex_;
  std::vector<ProgressPoint> history_;
};

// A solver's answer on items, before and after replicas are put back together.
struct ItemAnswer {
  Assignment devices;        // empty: no feasible assignment was found in time
  double lower_bound = 0.0;  // proven by the solver; 0 where it proves nothing
};
struct SolverAnswer {
  ExpertPlacement placement;  // without layers: none was found
  double lower_bound = 0.0;
  std::string found_by = {};  // which of a portfolio's methods
};

struct PlacementSolverEntry {
  std::string_view name;
  std::string_view summary;
  bool fixed_rule;  // looks at neither loads nor traffic, replicas apart
  // Why this solver cannot be used on the problem; empty: it can.
  std::string (*unfit)(const PlacementProblem&);
  SolverAnswer (*solve)(const PlacementProblem&, SolverRun&);
};

// Every solver, in the order in which they are documented.
std::span<const PlacementSolverEntry> placement_solvers();
// Throws ConfigError(where, ...) that lists the names.
const PlacementSolverEntry& find_placement_solver(std::string_view name, const std::string& where);

// Slots of a placement in device order; empty slots are -1. `placement_of` puts items that are
// replicas back as their experts.
ExpertPlacement placement_of(const PlacementProblem& items, const Assignment& devices);
// The same without slots that no layer uses.
ExpertPlacement trimmed(const ExpertPlacement& placement);
// Back to items: the replicas of an expert in slot order. The placement must have as many of each
// as the problem has items.
Assignment assignment_of_items(const PlacementProblem& items, const ExpertPlacement& placement);

}  // namespace moesim
