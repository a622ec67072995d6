#include <algorithm>
#include <functional>
#include <numeric>

#include "placement/bounds/bounds.h"
#include "placement/replication/replicas.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

double slowness_least(const PlacementProblem& p) {
  return p.slowness.empty() ? 1.0 : *std::ranges::min_element(p.slowness);
}

// All load over all speed.
double mean_bound(const PlacementProblem& p, int layer) {
  double speed = 0.0;
  for (int g = 0; g < p.devices; ++g) {
    speed += p.capacity[at(g)] > 0 ? 1.0 / p.slowness_of(g) : 0.0;
  }
  return speed > 0.0 ? p.total_load(layer) / speed : 0.0;
}

// Items in slots of which none holds more than `most` and, if `exact`, all hold `most`: for j >= 1
// some device has j + 1 of the j * devices + 1 heaviest items, and the lightest fill the rest.
double pigeonhole_bound(std::vector<double> loads, int devices, int most, bool exact) {
  std::ranges::sort(loads, std::greater<>());
  const std::size_t n = loads.size();
  const auto lightest = [&](int count) {
    return exact ? std::accumulate(loads.end() - count, loads.end(), 0.0) : 0.0;
  };
  double bound = loads.front() + lightest(std::min(most - 1, static_cast<int>(n) - 1));
  for (int j = 1; at(j * devices) < n && j < most; ++j) {
    const auto end = loads.begin() + j * devices + 1;
    const double heavy = std::accumulate(end - (j + 1), end, 0.0);
    bound = std::max(bound, heavy + lightest(most - j - 1));
  }
  return bound;
}

// Free split: the k hottest experts have at most slots - (experts - k) replicas between them.
double free_split_bound(std::vector<double> loads, int slots, int devices) {
  std::ranges::sort(loads, std::greater<>());
  double bound = 0.0;
  double sum = 0.0;
  for (std::size_t k = 1; k <= loads.size(); ++k) {
    sum += loads[k - 1];
    const int others = static_cast<int>(loads.size() - k);
    bound = std::max(bound, sum / std::min(devices, slots - others));
  }
  return bound;
}

double replicated_bound(const PlacementProblem& p, int layer) {
  const auto& loads = p.loads[at(layer)];
  const int slots = p.experts + p.redundant;
  if (p.split == ReplicaSplit::optimal) {
    return free_split_bound(loads, slots, p.devices);
  }
  const std::vector<int> no_limit(loads.size(), slots);
  const std::vector<int> count = water_filling_counts(loads, slots, no_limit);
  double bound = 0.0;
  for (std::size_t e = 0; e < loads.size(); ++e) {
    bound = std::max(bound, loads[e] / count[e]);
  }
  return bound;
}

}  // namespace

double layer_load_bound(const PlacementProblem& problem, int layer) {
  const double mean = mean_bound(problem, layer);
  const double fastest = slowness_least(problem);
  if (problem.redundant > 0) {
    return std::max(mean, fastest * replicated_bound(problem, layer));
  }
  const bool equal =
      std::ranges::all_of(problem.capacity, [&](int c) { return c == problem.capacity.front(); });
  const int most = *std::ranges::max_element(problem.capacity);
  const bool exact = problem.exact_capacity && equal;
  return std::max(
      mean, fastest * pigeonhole_bound(problem.loads[at(layer)], problem.devices, most, exact));
}

}  // namespace moesim
