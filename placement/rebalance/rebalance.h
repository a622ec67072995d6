// Rebalancing over time: loads drift, a new placement costs the time to move experts. Policies
// decide when; this says what each of them costs on a sequence of load windows.
//
// A window of `steps` steps served under placement P takes S(P) = steps * F(P), F being the
// problem's objective for the window's mean loads of a step (no traffic: comm model none).
// Replacing P by Q at a window's start moves bytes that take T seconds (diff.h):
//   stall:       S(Q) + T;
//   background:  the window runs under P, 1 + slowdown times as slowly, until the move is done,
//   then
//                under Q; a move that outlasts the window stalls for the rest.
// Time lost to slowdown and stalls is migration time, the rest is serving time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "placement/diff.h"
#include "placement/problem.h"
#include "placement/solver.h"

namespace moesim {

struct RebalanceWindow {
  std::vector<std::vector<double>> loads;  // [layer][expert]: mean of a step
  double steps = 1.0;
};

enum class MigrationMode { stall, background };

struct MigrationCost {
  double expert_bytes = 0.0;     // of one expert in one layer
  double intra_bandwidth = 0.0;  // bytes/s per device and direction; 0: such moves take no time
  double inter_bandwidth = 0.0;
  MigrationMode mode = MigrationMode::stall;
  double slowdown = 0.0;  // background: steps take 1 + slowdown times as long meanwhile
};

using PlacementSolve = SolverAnswer (*)(const PlacementProblem&, SolverRun&);

struct RebalanceOptions {
  int memory = 1;        // new placements are made for the mean loads of that many past windows
  int every = 1;         // periodic policies: windows between two rebalances
  double horizon = 1.0;  // threshold: windows over which a gain is expected to last
};

struct RebalanceTask {
  PlacementProblem problem;  // capacities, slowness, alpha; its loads are replaced by a window's
  std::vector<RebalanceWindow> windows;
  ExpertPlacement initial;
  MigrationCost cost;
  PlacementSolve solve = nullptr;
  SolveOptions solver;
  RebalanceOptions options;
};

// What one window costs.
struct WindowCost {
  double serving_s = 0.0;
  double migration_s = 0.0;
  [[nodiscard]] double total() const { return serving_s + migration_s; }
};
// `old_s` and `new_s`: the window served under the old and under the new placement.
WindowCost window_cost(const MigrationCost& cost, double move_s, double old_s, double new_s);

struct WindowOutcome {
  bool migrated = false;  // a copy had to be loaded
  double bytes = 0.0;
  WindowCost cost;
  double max_over_mean = 0.0;  // busiest device / mean, over all layers, under the new placement
};

struct RebalanceOutcome {
  std::string_view policy;
  double total_s = 0.0;
  double serving_s = 0.0;
  double migration_s = 0.0;
  double bytes = 0.0;
  int migrations = 0;
  std::vector<WindowOutcome> windows;
};

// The placements that policies choose among, numbered from 0 (the initial one), and what using and
// exchanging them costs. Everything is computed when first asked for, and once.
class RebalanceStudy {
 public:
  // Throws ConfigError(where, ...) for a problem with traffic, windows of other shapes, an initial
  // placement that does not fit, negative costs.
  RebalanceStudy(RebalanceTask task, const std::string& where);

  [[nodiscard]] const RebalanceTask& task() const { return task_; }
  [[nodiscard]] int windows() const { return static_cast<int>(task_.windows.size()); }
  [[nodiscard]] const ExpertPlacement& placement(int candidate) const;

  // for the mean loads of the windows first..last, by the task's solver or by EPLB.
  int solved(int first, int last);
  int solved_by_eplb(int first, int last);
  // A placement made by a policy itself. Throws ConfigError unless it fits the problem.
  int adopt(ExpertPlacement placement);
  // Mean loads of a step over the windows first..last, [layer][expert].
  [[nodiscard]] std::vector<std::vector<double>> mean_loads(int first, int last) const;
  // First window of the `memory` windows that end with `last`.
  [[nodiscard]] int first_remembered(int last) const;

  double serving_seconds(int candidate, int window);
  double max_over_mean(int candidate, int window);
  // Moving from one candidate to another: bytes and seconds.
  const PlacementDiff& move(int from, int to);
  WindowCost cost(int from, int to, int window);

 private:
  enum class By { solver, eplb };
  struct Served {
    double seconds = 0.0;
    double max_over_mean = 0.0;
  };

  int solved(By by, int first, int last);
  const Served& served(int candidate, int window);

  RebalanceTask task_;
  PlacementProblem judged_;  // the task's problem with some window's loads
  std::vector<ExpertPlacement> candidates_;
  std::map<std::tuple<By, int, int>, int> solved_;
  std::map<std::pair<int, int>, Served> served_;
  std::map<std::pair<int, int>, PlacementDiff> moves_;
};

struct RebalancePolicyEntry {
  std::string_view name;
  std::string_view summary;
  bool sees_the_future;
  // Why the policy cannot be used; empty: it can.
  std::string (*unfit)(const RebalanceTask&);
  // [window] -> candidate that serves it.
  std::vector<int> (*plan)(RebalanceStudy&);
};

// Every policy, in the order in which they are documented.
std::span<const RebalancePolicyEntry> rebalance_policies();
// Throws ConfigError(where, ...) that lists the names.
const RebalancePolicyEntry& find_rebalance_policy(std::string_view name, const std::string& where);

RebalanceOutcome run_rebalance_policy(const RebalancePolicyEntry& policy, RebalanceStudy& study);

}  // namespace moesim
