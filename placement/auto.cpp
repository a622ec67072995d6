// The default: exact where that is tractable, else the best of the heuristics and the baselines,
// improved for as long as a time limit allows.
#include <algorithm>
#include <vector>

#include "placement/bounds/bounds.h"
#include "placement/evaluate.h"
#include "placement/heuristics/heuristics.h"
#include "placement/heuristics/homes.h"
#include "placement/heuristics/portfolio.h"
#include "placement/programs/chain_dp.h"
#include "placement/published/eplb.h"
#include "placement/replication/replicas.h"
#include "sim/core/rng.h"
#include "sim/core/thread_pool.h"

namespace moesim {
namespace {

// Work that the default may spend on exactness: two seconds, or half of the time limit.
bool exact_in_time(const PlacementProblem& problem, const SolverRun& run) {
  const double seconds = run.limited() ? std::min(run.seconds_left() / 2.0, 60.0) : 2.0;
  return chain_dp_work(problem) <= seconds * k_chain_dp_second;
}

// Up to this many (layer, item) places annealing is part of the default: half a second.
constexpr int k_annealed_places = 4096;
constexpr std::int64_t k_short_annealing = 1'000'000;
constexpr double k_temperature = 0.01;

// Without traffic the load bound is all there is to prove.
bool load_optimal(const PlacementProblem& problem, const SolverAnswer& answer) {
  if (problem.comm != CommModel::none) {
    return false;
  }
  double bound = 0.0;
  for (int l = 0; l < problem.layers; ++l) {
    bound += problem.alpha * layer_load_bound(problem, l);
  }
  return evaluate(problem, answer.placement).objective <= bound * (1.0 + 1e-12);
}

class Best {
 public:
  Best(const PlacementProblem& problem, SolverRun& run) : problem_(problem), run_(run) {}

  void offer(const SolverAnswer& answer, const char* method) {
    if (answer.placement.slot_expert.empty()) {
      return;
    }
    const double objective = evaluate(problem_, answer.placement).objective;
    if (best_.placement.slot_expert.empty() || objective < objective_) {
      best_ = answer;
      best_.found_by = method;
      objective_ = objective;
      run_.note_objective(objective);
    }
  }
  [[nodiscard]] const SolverAnswer& get() const { return best_; }

 private:
  const PlacementProblem& problem_;
  SolverRun& run_;
  SolverAnswer best_;
  double objective_ = 0.0;
};

// Chains of annealing from the best, two at a time whatever the threads; each finished by swaps.
Assignment annealed(const PlacementProblem& items, const Assignment& start, std::int64_t moves,
                    std::uint64_t round, SolverRun& run) {
  std::vector<Assignment> found(2);
  parallel_for(found.size(), run.options().threads, [&](std::size_t chain) {
    SearchState state(items, start);
    SearchState polished(items, anneal(state, moves, k_temperature,
                                       mix64(run.options().seed + 2 * round + chain), run));
    swap_search(polished, 0.0, run);
    found[chain] = polished.assignment();
  });
  const auto cost = [&](const Assignment& a) { return SearchState(items, a).objective(); };
  return cost(found[0]) <= cost(found[1]) ? found[0] : found[1];
}

// What a time limit beyond the default's budget buys: longer and longer annealing. No integer
// programs here: annealing gains more per second, and a crash inside the solver's library would
// take the placement found so far with it.
void use_the_time(const PlacementProblem& problem, Best& best, SolverRun& run) {
  // The replicas of whichever method leads: EPLB's, say.
  const PlacementProblem items =
      problem.redundant > 0 ? expand_replicas(problem, replica_counts(best.get().placement))
                            : problem;
  std::int64_t moves = 2'000'000;
  for (std::uint64_t round = 1; !run.stopped(); ++round, moves *= 2) {
    const Assignment start = assignment_of_items(items, best.get().placement);
    best.offer({.placement = placement_of(items, annealed(items, start, moves, round, run))},
               "annealing");
  }
}

}  // namespace

SolverAnswer solve_auto(const PlacementProblem& problem, SolverRun& run) {
  if (problem.redundant == 0 && exact_in_time(problem, run)) {
    SolverAnswer exact = solve_dp(problem, run);
    if (!exact.placement.slot_expert.empty()) {
      exact.found_by = "dp";
      return exact;
    }
  }
  Best best(problem, run);
  if (unfit_eplb(problem).empty()) {
    best.offer(solve_eplb(problem, run), "eplb");
  }
  constexpr int few_slots = 32;  // beyond, heuristics come as near
  double proven = 0.0;
  if (unfit_exact_replication(problem).empty() && problem.slots() <= few_slots) {
    const SolverAnswer exact = place_exact_replication(problem, run);
    proven = exact.lower_bound;
    best.offer(exact, "exact_replication");
  }
  const PlacementProblem items = expand_replicas(problem);
  const Assignment found = solve_heuristics(items, run).devices;
  if (found.empty()) {
    return best.get();
  }
  best.offer({.placement = placement_of(items, found)}, "swap");
  const bool small = items.layers * items.experts <= k_annealed_places;
  if (small && problem.comm == CommModel::interlayer && !run.stopped()) {
    best.offer(
        {.placement = placement_of(items, annealed(items, found, k_short_annealing, 0, run))},
        "annealing");
  }
  if (run.limited() && !load_optimal(problem, best.get())) {
    use_the_time(problem, best, run);
  }
  SolverAnswer answer = best.get();
  answer.lower_bound = std::max(answer.lower_bound, proven);
  // Two replicas on one device are parted where that costs nothing: some problems gain from them.
  const ExpertPlacement parted = apart_where_possible(problem, answer.placement);
  if (evaluate(problem, parted).objective <= evaluate(problem, answer.placement).objective) {
    answer.placement = spread_over_nodes(problem, parted);
  }
  return answer;
}

}  // namespace moesim
