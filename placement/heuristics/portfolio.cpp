#include "placement/heuristics/portfolio.h"

#include <algorithm>
#include <array>
#include <functional>

#include "placement/heuristics/heuristics.h"
#include "placement/programs/chain_dp.h"
#include "placement/replication/exact_replication.h"
#include "placement/replication/replicas.h"
#include "sim/core/quantity_text.h"
#include "sim/core/rng.h"
#include "sim/core/thread_pool.h"

namespace moesim {
namespace {

constexpr double k_smooth = 0.3;  // kappa: weight of squared loads while traffic is sorted out
constexpr int k_relabel_sweeps = 4;
constexpr int k_band_sweeps = 3;

Assignment improved(const PlacementProblem& items, const Assignment& start, bool relabelled,
                    bool smooth, SolverRun& run) {
  if (start.empty()) {
    return {};
  }
  SearchState state(items, start);
  if (relabelled) {
    relabel(state, items.devices > 128 ? 1 : k_relabel_sweeps, run);
  }
  if (smooth) {
    swap_search(state, k_smooth, run);
  }
  swap_search(state, 0.0, run);
  run.note_objective(state.objective());
  return state.assignment();
}

// The work of a solver on items, put back together.
SolverAnswer on_items(const PlacementProblem& problem,
                      const std::function<Assignment(const PlacementProblem&)>& solve) {
  const PlacementProblem items = expand_replicas(problem);
  const Assignment devices = solve(items);
  SolverAnswer answer;
  if (!devices.empty()) {
    answer.placement = placement_of(items, devices);
  }
  return answer;
}

}  // namespace

ItemAnswer solve_heuristics(const PlacementProblem& items, SolverRun& run) {
  const bool traffic = items.comm == CommModel::interlayer;
  std::vector<std::function<Assignment()>> starts{
      [&] { return improved(items, assign_lpt(items), traffic, true, run); },
      [&] { return improved(items, assign_lpt(items), traffic, false, run); },
  };
  if (traffic) {
    starts.insert(starts.begin(), [&] {
      return improved(items, assign_banded(items, k_band_sweeps, run), false, true, run);
    });
  }
  std::vector<Assignment> found(starts.size());
  parallel_for(starts.size(), run.options().threads, [&](std::size_t i) {
    if (i == 0 || !run.stopped()) {
      found[i] = starts[i]();
    }
  });
  ItemAnswer best;
  double least = 0.0;
  for (Assignment& devices : found) {
    if (devices.empty()) {
      continue;
    }
    const double objective = SearchState(items, devices).objective();
    if (best.devices.empty() || objective < least) {
      least = objective;
      best.devices = std::move(devices);
    }
  }
  return best;
}

SolverAnswer solve_lpt(const PlacementProblem& problem, SolverRun& /*run*/) {
  return on_items(problem, assign_lpt);
}

SolverAnswer solve_relabel(const PlacementProblem& problem, SolverRun& run) {
  return on_items(problem, [&](const PlacementProblem& items) {
    const Assignment start = assign_lpt(items);
    if (start.empty()) {
      return start;
    }
    SearchState state(items, start);
    relabel(state, k_relabel_sweeps, run);
    return state.assignment();
  });
}

SolverAnswer solve_banded(const PlacementProblem& problem, SolverRun& run) {
  return on_items(problem, [&](const PlacementProblem& items) {
    return assign_banded(items, k_band_sweeps, run);
  });
}

SolverAnswer solve_swap(const PlacementProblem& problem, SolverRun& run) {
  return on_items(
      problem, [&](const PlacementProblem& items) { return solve_heuristics(items, run).devices; });
}

SolverAnswer solve_annealing(const PlacementProblem& problem, SolverRun& run) {
  return on_items(problem, [&](const PlacementProblem& items) {
    const Assignment start = solve_heuristics(items, run).devices;
    if (start.empty()) {
      return start;
    }
    constexpr std::int64_t moves = 8'000'000;
    constexpr double temperature = 0.01;
    std::array<Assignment, 2> found;
    parallel_for(found.size(), run.options().threads, [&](std::size_t chain) {
      SearchState state(items, start);
      found[chain] = anneal(state, moves, temperature, mix64(run.options().seed + chain), run);
      SearchState polished(items, found[chain]);
      swap_search(polished, 0.0, run);
      found[chain] = polished.assignment();
    });
    return SearchState(items, found[0]).objective() <= SearchState(items, found[1]).objective()
               ? found[0]
               : found[1];
  });
}

std::string unfit_dp(const PlacementProblem& problem) {
  if (problem.redundant > 0) {
    return "replicas are not chosen by dynamic programming; use auto";
  }
  constexpr double most = 200.0 * k_chain_dp_second;
  const double work = chain_dp_work(problem);
  return work <= most ? ""
                      : "too many assignments per layer (" + format_number(work) +
                            " additions, at most " + format_number(most) + "); use auto";
}

SolverAnswer solve_dp(const PlacementProblem& problem, SolverRun& run) {
  const ItemAnswer answer = solve_chain_dp(problem, run);
  if (answer.devices.empty()) {
    return {};
  }
  return {.placement = placement_of(problem, answer.devices), .lower_bound = answer.lower_bound};
}

std::string unfit_exact_replication(const PlacementProblem& problem) {
  constexpr int most_slots = 64;
  const bool equal =
      std::ranges::all_of(problem.capacity, [&](int c) { return c == problem.capacity.front(); });
  if (problem.redundant == 0) {
    return "there are no redundant slots";
  }
  if (!problem.exact_capacity || !equal || !problem.slowness.empty() ||
      !problem.forbidden.empty()) {
    return "devices differ or slots may stay empty";
  }
  if (problem.comm != CommModel::none) {
    return "it looks at loads alone";
  }
  return problem.slots() <= most_slots
             ? ""
             : std::to_string(problem.slots()) + " slots; at most " + std::to_string(most_slots);
}

SolverAnswer place_exact_replication(const PlacementProblem& problem, SolverRun& run) {
  constexpr std::int64_t steps = 300'000;  // per layer: some tens of milliseconds
  const int slots = problem.capacity.front();
  SolverAnswer answer;
  answer.placement.experts = problem.experts;
  answer.placement.devices = problem.devices;
  for (int g = 0; g <= problem.devices; ++g) {
    answer.placement.first_slot.push_back(g * slots);
  }
  for (const std::vector<double>& loads : problem.loads) {
    const ExactReplication layer =
        exact_replication(loads, problem.devices, slots, problem.split, run, steps);
    std::vector<std::int32_t> row;
    for (const std::vector<int>& experts : layer.experts_on_device) {
      row.insert(row.end(), experts.begin(), experts.end());
    }
    answer.placement.slot_expert.push_back(std::move(row));
    answer.lower_bound += problem.alpha * layer.lower_bound;
  }
  return answer;
}

}  // namespace moesim
