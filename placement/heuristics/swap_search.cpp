#include <cmath>

#include "placement/heuristics/heuristics.h"

namespace moesim {
namespace {

// Below this share of the objective a gain is rounding, and chasing it may cycle.
constexpr double k_least_gain = 1e-11;

class SwapPass {
 public:
  SwapPass(SearchState& state, double kappa, const SolverRun& run)
      : state_(state), kappa_(kappa), run_(run), threshold_(k_least_gain * state.objective()) {}

  // Exchanges made in one layer.
  std::int64_t layer(int l) {
    const int items = state_.problem().experts;
    const bool only_load = state_.problem().comm == CommModel::none;
    std::int64_t made = 0;
    for (int a = 0; a < items; ++a) {
      if ((a & 15) == 0 && run_.stopped()) {
        break;
      }
      if (only_load && kappa_ == 0.0 && !on_busiest(l, a)) {
        continue;  // without traffic only the busiest device's items can gain
      }
      for (int b = only_load && kappa_ == 0.0 ? 0 : a + 1; b < state_.places(); ++b) {
        if (state_.device(l, a) != state_.device(l, b) && gains(l, a, b)) {
          state_.swap(l, a, b);
          ++made;
        }
      }
    }
    return made;
  }

 private:
  bool on_busiest(int l, int a) const {
    const int g = state_.device(l, a);
    return state_.load(l, g) * state_.problem().slowness_of(g) >= state_.layer_max(l);
  }

  bool gains(int l, int a, int b) const {
    const double load =
        kappa_ > 0.0 ? kappa_ * state_.square_delta(l, a, b) : state_.load_delta(l, a, b);
    if (state_.problem().comm == CommModel::dispatch) {
      // Walking through tokens is dear: pairs guide, and the last pass asks tokens where pairs
      // promise something.
      const double guess = load + state_.estimated_delta(l, a, b);
      if (kappa_ > 0.0 || guess >= -threshold_) {
        return guess < -threshold_ && state_.swap_allowed(l, a, b);
      }
    }
    return load + state_.traffic_delta(l, a, b) < -threshold_ && state_.swap_allowed(l, a, b);
  }

  SearchState& state_;
  double kappa_;
  const SolverRun& run_;
  double threshold_;
};

}  // namespace

std::int64_t swap_search(SearchState& state, double kappa, const SolverRun& run) {
  constexpr int most_passes = 60;
  std::int64_t total = 0;
  const int layers = state.problem().layers;
  SwapPass pass(state, kappa, run);
  // A layer is worth another look only if it or a neighbour changed since.
  std::vector<char> dirty(static_cast<std::size_t>(layers), 1);
  for (int round = 0; round < most_passes; ++round) {
    std::int64_t made = 0;
    for (int l = 0; l < layers && !run.stopped(); ++l) {
      auto& mine = dirty[static_cast<std::size_t>(l)];
      if (mine == 0) {
        continue;
      }
      mine = 0;
      const std::int64_t here = pass.layer(l);
      made += here;
      if (here > 0) {
        for (int n = std::max(0, l - 1); n <= std::min(layers - 1, l + 1); ++n) {
          if (n == l || state.problem().comm == CommModel::interlayer) {
            dirty[static_cast<std::size_t>(n)] = 1;
          }
        }
      }
    }
    total += made;
    if (made == 0 || run.stopped()) {
      break;
    }
  }
  return total;
}

}  // namespace moesim
