// Simulated annealing (Kirkpatrick, Gelatt and Vecchi 1983) over exchanges.
#include <cmath>

#include "placement/heuristics/heuristics.h"
#include "sim/core/rng.h"

namespace moesim {

Assignment anneal(SearchState& state, std::int64_t moves, double start, std::uint64_t seed,
                  SolverRun& run) {
  const PlacementProblem& p = state.problem();
  Rng rng(seed);
  double current = state.objective();
  double best = current;
  Assignment best_devices = state.assignment();
  const double hot = start * current / (static_cast<double>(p.layers) * p.experts);
  const double cooling =
      std::pow(1e-3, 1.0 / static_cast<double>(std::max<std::int64_t>(moves, 1)));
  double temperature = hot;
  std::int64_t since_best = 0;
  bool best_is_old = false;  // is `best_devices` to be refreshed when the state gets worse?
  for (std::int64_t move = 0; move < moves; ++move, temperature *= cooling) {
    if ((move & 1023) == 0 && run.stopped()) {
      break;
    }
    const int l = static_cast<int>(rng.below(static_cast<std::uint64_t>(p.layers)));
    const int a = static_cast<int>(rng.below(static_cast<std::uint64_t>(p.experts)));
    const int b = static_cast<int>(rng.below(static_cast<std::uint64_t>(state.places())));
    if (state.device(l, a) == state.device(l, b)) {
      continue;
    }
    const double delta = state.load_delta(l, a, b) + state.traffic_delta(l, a, b);
    if (delta > 0.0 && rng.uniform() >= std::exp(-delta / temperature)) {
      continue;
    }
    if (!state.swap_allowed(l, a, b)) {
      continue;
    }
    if (delta > 0.0 && best_is_old) {
      best_devices = state.assignment();
      best_is_old = false;
      run.note_objective(best);
    }
    state.swap(l, a, b);
    current += delta;
    if (++since_best % 65536 == 0) {
      current = state.objective();
    }
    if (current < best * (1.0 - 1e-12)) {
      best = current;
      best_is_old = true;
    }
  }
  return best_is_old ? state.assignment() : best_devices;
}

}  // namespace moesim
