#include "placement/rebalance/rebalance.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "placement/evaluate.h"
#include "placement/published/eplb.h"
#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

void check_task(const RebalanceTask& task, const std::string& where) {
  if (task.problem.comm != CommModel::none) {
    throw ConfigError(where, "rebalancing judges loads only; use a problem with comm_model none");
  }
  if (task.windows.empty()) {
    throw ConfigError(where, "no load windows; give at least one");
  }
  for (std::size_t w = 0; w < task.windows.size(); ++w) {
    const RebalanceWindow& window = task.windows[w];
    const std::string here = where + ", window " + std::to_string(w);
    if (!(window.steps > 0.0) || !std::isfinite(window.steps)) {
      throw ConfigError(here, "lasts no steps; give a positive number");
    }
    PlacementProblem problem = task.problem;
    problem.loads = window.loads;
    check_problem(problem, here);
  }
  check_feasible(task.problem, task.initial, where + ", initial placement");
  const MigrationCost& cost = task.cost;
  if (!(cost.expert_bytes >= 0.0 && cost.intra_bandwidth >= 0.0 && cost.inter_bandwidth >= 0.0 &&
        cost.slowdown >= 0.0)) {
    throw ConfigError(where, "bytes, bandwidths and the slowdown of a migration are not negative");
  }
  if (task.options.memory < 1 || task.options.every < 1 || !(task.options.horizon >= 0.0)) {
    throw ConfigError(where, "policies remember and wait at least one window");
  }
  ensure(task.solve != nullptr, "rebalancing has a solver");
}

}  // namespace

WindowCost window_cost(const MigrationCost& cost, double move_s, double old_s, double new_s) {
  if (cost.mode == MigrationMode::stall || move_s == 0.0) {
    return {new_s, move_s};
  }
  const double slowed = old_s * (1.0 + cost.slowdown);  // the whole window while experts move
  if (move_s >= slowed) {
    return {old_s, move_s - old_s};
  }
  const double done = move_s / slowed;
  return {done * old_s + (1.0 - done) * new_s, move_s - done * old_s};
}

RebalanceStudy::RebalanceStudy(RebalanceTask task, const std::string& where)
    : task_(std::move(task)), judged_(task_.problem) {
  check_task(task_, where);
  candidates_.push_back(task_.initial);
}

const ExpertPlacement& RebalanceStudy::placement(int candidate) const {
  return candidates_.at(at(candidate));
}

int RebalanceStudy::first_remembered(int last) const {
  return std::max(0, last - task_.options.memory + 1);
}

int RebalanceStudy::solved(int first, int last) { return solved(By::solver, first, last); }

int RebalanceStudy::solved_by_eplb(int first, int last) { return solved(By::eplb, first, last); }

int RebalanceStudy::solved(By by, int first, int last) {
  const auto key = std::tuple{by, first, last};
  if (const auto known = solved_.find(key); known != solved_.end()) {
    return known->second;
  }
  PlacementProblem problem = task_.problem;
  problem.loads = mean_loads(first, last);
  SolverRun run(task_.solver);
  SolverAnswer answer = (by == By::eplb ? solve_eplb : task_.solve)(problem, run);
  if (answer.placement.slot_expert.empty()) {
    throw ConfigError("rebalance", "the solver found no feasible placement; give it longer");
  }
  return solved_[key] = adopt(std::move(answer.placement));
}

int RebalanceStudy::adopt(ExpertPlacement placement) {
  check_feasible(task_.problem, placement, "rebalance, new placement");
  const auto same = std::ranges::find_if(candidates_, [&](const ExpertPlacement& known) {
    return known.first_slot == placement.first_slot && known.slot_expert == placement.slot_expert;
  });
  const int candidate = static_cast<int>(same - candidates_.begin());
  if (same == candidates_.end()) {
    candidates_.push_back(std::move(placement));
  }
  return candidate;
}

std::vector<std::vector<double>> RebalanceStudy::mean_loads(int first, int last) const {
  ensure(0 <= first && first <= last && last < windows(), "loads are those of known windows");
  std::vector<std::vector<double>> mean(at(task_.problem.layers),
                                        std::vector<double>(at(task_.problem.experts), 0.0));
  double steps = 0.0;
  for (int w = first; w <= last; ++w) {
    const RebalanceWindow& window = task_.windows[at(w)];
    steps += window.steps;
    for (std::size_t l = 0; l < mean.size(); ++l) {
      for (std::size_t e = 0; e < mean[l].size(); ++e) {
        mean[l][e] += window.loads[l][e] * window.steps;
      }
    }
  }
  for (auto& layer : mean) {
    for (double& load : layer) {
      load /= steps;
    }
  }
  return mean;
}

const RebalanceStudy::Served& RebalanceStudy::served(int candidate, int window) {
  const auto key = std::pair{candidate, window};
  const auto known = served_.find(key);
  if (known != served_.end()) {
    return known->second;
  }
  const RebalanceWindow& here = task_.windows.at(at(window));
  judged_.loads = here.loads;
  const PlacementScore score = evaluate(judged_, placement(candidate));
  double mean = 0.0;
  for (const double layer : score.layer_mean) {
    mean += layer;
  }
  return served_[key] = {score.objective * here.steps, mean > 0.0 ? score.load / mean : 1.0};
}

double RebalanceStudy::serving_seconds(int candidate, int window) {
  return served(candidate, window).seconds;
}

double RebalanceStudy::max_over_mean(int candidate, int window) {
  return served(candidate, window).max_over_mean;
}

const PlacementDiff& RebalanceStudy::move(int from, int to) {
  const auto key = std::pair{from, to};
  const auto known = moves_.find(key);
  if (known != moves_.end()) {
    return known->second;
  }
  PlacementDiff diff = diff_placements(placement(from), placement(to),
                                       {.devices_per_node = task_.problem.devices_per_node,
                                        .expert_bytes = task_.cost.expert_bytes,
                                        .intra_bandwidth = task_.cost.intra_bandwidth,
                                        .inter_bandwidth = task_.cost.inter_bandwidth},
                                       "rebalance");
  diff.moves = {};  // thousands of pairs are kept; their single moves are not needed
  diff.layers = {};
  return moves_[key] = std::move(diff);
}

WindowCost RebalanceStudy::cost(int from, int to, int window) {
  const double move_s = from == to ? 0.0 : move(from, to).seconds;
  return window_cost(task_.cost, move_s, serving_seconds(from, window),
                     serving_seconds(to, window));
}

RebalanceOutcome run_rebalance_policy(const RebalancePolicyEntry& policy, RebalanceStudy& study) {
  const std::vector<int> plan = policy.plan(study);
  ensure(plan.size() == at(study.windows()), "a policy plans every window");
  RebalanceOutcome outcome;
  outcome.policy = policy.name;
  int current = 0;
  for (int w = 0; w < study.windows(); ++w) {
    const int next = plan[at(w)];
    WindowOutcome window;
    if (next != current) {
      const PlacementDiff& diff = study.move(current, next);
      window.migrated = diff.total.loaded > 0;
      window.bytes = diff.bytes;
    }
    window.cost = study.cost(current, next, w);
    window.max_over_mean = study.max_over_mean(next, w);
    outcome.serving_s += window.cost.serving_s;
    outcome.migration_s += window.cost.migration_s;
    outcome.bytes += window.bytes;
    outcome.migrations += window.migrated ? 1 : 0;
    outcome.windows.push_back(window);
    current = next;
  }
  outcome.total_s = outcome.serving_s + outcome.migration_s;
  return outcome;
}

}  // namespace moesim
