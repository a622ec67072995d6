// The default: exact where that is tractable, else the best of the heuristics and the baselines.
#include <vector>

#include "placement/chain_dp.h"
#include "placement/evaluate.h"
#include "placement/homes.h"
#include "placement/portfolio.h"
#include "placement/replicas.h"

namespace moesim {
namespace {

// Work that the default may spend on exactness: two seconds, or half of the time limit.
bool exact_in_time(const PlacementProblem& problem, const SolverRun& run) {
  const double seconds = run.limited() ? std::min(run.seconds_left() / 2.0, 60.0) : 2.0;
  return chain_dp_work(problem) <= seconds * k_chain_dp_second;
}

class Best {
 public:
  explicit Best(const PlacementProblem& problem, SolverRun& run) : problem_(problem), run_(run) {}

  void offer(SolverAnswer answer, const char* method) {
    if (answer.placement.slot_expert.empty()) {
      return;
    }
    const double objective = evaluate(problem_, answer.placement).objective;
    if (best_.placement.slot_expert.empty() || objective < objective_) {
      const double bound = std::max(best_.lower_bound, answer.lower_bound);
      best_ = std::move(answer);
      best_.lower_bound = bound;
      best_.found_by = method;
      objective_ = objective;
      run_.note_objective(objective);
    }
  }
  SolverAnswer take() { return std::move(best_); }

 private:
  const PlacementProblem& problem_;
  SolverRun& run_;
  SolverAnswer best_;
  double objective_ = 0.0;
};

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
  best.offer(solve_swap(problem, run), "swap");
  return best.take();
}

}  // namespace moesim
