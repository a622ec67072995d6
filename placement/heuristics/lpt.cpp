// Longest processing time first (Graham 1969), with slots.
#include <algorithm>
#include <numeric>

#include "placement/heuristics/heuristics.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

void assign_layer(const PlacementProblem& items, int layer, Assignment& devices) {
  const auto& load = items.loads[at(layer)];
  const std::int32_t* expert =
      items.expert_of_item.empty() ? nullptr : items.expert_of_item[at(layer)].data();
  std::vector<int> order(load.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int a, int b) { return load[at(a)] > load[at(b)]; });
  std::vector<int> room = items.capacity;
  std::vector<double> sum(at(items.devices), 0.0);
  std::vector<std::int32_t> held;  // experts on devices, only with replicas
  const std::size_t experts = load.size();
  if (expert != nullptr) {
    held.assign(at(items.devices) * experts, 0);
  }
  for (const int i : order) {
    int best = -1;
    bool best_breaks = true;
    for (int g = 0; g < items.devices; ++g) {
      if (room[at(g)] == 0) {
        continue;
      }
      const bool breaks = !items.allowed(layer, i, g) ||
                          (expert != nullptr && held[at(g) * experts + at(expert[i])] > 0);
      const auto after = [&](int d) { return (sum[at(d)] + load[at(i)]) * items.slowness_of(d); };
      if (best < 0 || (best_breaks && !breaks) ||
          (best_breaks == breaks && after(g) < after(best))) {
        best = g;
        best_breaks = breaks;
      }
    }
    --room[at(best)];
    sum[at(best)] += load[at(i)];
    if (expert != nullptr) {
      ++held[at(best) * experts + at(expert[i])];
    }
    devices[at(layer) * experts + at(i)] = best;
  }
}

}  // namespace

Assignment assign_lpt(const PlacementProblem& items) {
  Assignment devices(at(items.layers) * at(items.experts), -1);
  for (int l = 0; l < items.layers; ++l) {
    assign_layer(items, l, devices);
  }
  return repair(items, devices) ? devices : Assignment{};
}

}  // namespace moesim
