#include <algorithm>
#include <cmath>

#include "placement/heuristics/heuristics.h"
#include "placement/heuristics/hungarian.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

// May device `to` take over all items of device `from`?
bool interchangeable(const SearchState& state, int layer, int from, int to) {
  const PlacementProblem& p = state.problem();
  if (p.capacity[at(from)] != p.capacity[at(to)] || p.slowness_of(from) != p.slowness_of(to)) {
    return false;
  }
  return p.forbidden.empty() || std::ranges::all_of(state.items_on(layer, from), [&](int item) {
           return item >= p.experts || p.allowed(layer, item, to);
         });
}

// True if the layer's labels changed.
bool relabel_layer(SearchState& state, int layer) {
  const PlacementProblem& p = state.problem();
  const std::size_t n = at(p.devices);
  std::vector<double> cost(n * n, 0.0);
  double largest = 0.0;
  for (int from = 0; from < p.devices; ++from) {
    for (int to = 0; to < p.devices; ++to) {
      double& entry = cost[at(from) * n + at(to)];
      for (const std::int32_t item : state.items_on(layer, from)) {
        entry += state.traffic_at(layer, item, to);
      }
      largest = std::max(largest, std::abs(entry));
    }
  }
  const double never = (largest + 1.0) * (2.0 * static_cast<double>(n) + 1.0);
  double before = 0.0;
  for (int from = 0; from < p.devices; ++from) {
    before += cost[at(from) * n + at(from)];
    for (int to = 0; to < p.devices; ++to) {
      if (!interchangeable(state, layer, from, to)) {
        cost[at(from) * n + at(to)] = never;
      }
    }
  }
  const std::vector<int> target = cheapest_assignment(cost, n);
  double after = 0.0;
  for (std::size_t g = 0; g < n; ++g) {
    after += cost[g * n + at(target[g])];
  }
  if (!(after < before - 1e-12 * std::abs(before))) {
    return false;
  }
  // Cycles of the permutation as exchanges of whole devices.
  std::vector<std::vector<std::int32_t>> groups;
  for (int g = 0; g < p.devices; ++g) {
    groups.push_back(state.items_on(layer, g));
  }
  for (std::size_t g = 0; g < n; ++g) {
    const int to = target[g];
    for (const std::int32_t item : groups[g]) {
      if (state.device(layer, item) == to) {
        continue;
      }
      // Swap with an item that is there but does not belong there.
      for (const std::int32_t other : state.items_on(layer, to)) {
        if (std::ranges::find(groups[g], other) == groups[g].end()) {
          state.swap(layer, item, other);
          break;
        }
      }
    }
  }
  return true;
}

}  // namespace

void relabel(SearchState& state, int sweeps, const SolverRun& run) {
  if (state.problem().comm != CommModel::interlayer) {
    return;
  }
  for (int sweep = 0; sweep < sweeps; ++sweep) {
    bool changed = false;
    for (int l = 0; l < state.problem().layers; ++l) {
      if (run.stopped()) {
        return;
      }
      changed = relabel_layer(state, l) || changed;
    }
    if (!changed) {
      return;
    }
  }
}

}  // namespace moesim
