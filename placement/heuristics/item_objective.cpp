#include "placement/heuristics/item_objective.h"

#include <algorithm>
#include <cmath>

#include "placement/heuristics/transport.h"
#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

double busiest(const PlacementProblem& problem, const Assignment& devices, int layer) {
  std::vector<double> busy(at(problem.devices), 0.0);
  const std::size_t first = at(layer) * at(problem.experts);
  for (std::size_t i = 0; i < at(problem.experts); ++i) {
    busy[at(devices[first + i])] += problem.loads[at(layer)][i];
  }
  double most = 0.0;
  for (int g = 0; g < problem.devices; ++g) {
    most = std::max(most, problem.slowness_of(g) * busy[at(g)]);
  }
  return most;
}

// Between `layer` and the next.
double traffic(const PlacementProblem& problem, const Assignment& devices, int layer) {
  if (problem.comm != CommModel::interlayer || layer < 0 || layer + 1 >= problem.layers) {
    return 0.0;
  }
  const std::size_t items = at(problem.experts);
  const auto& matrix = problem.transitions[at(layer)];
  double sum = 0.0;
  for (std::size_t a = 0; a < items; ++a) {
    const int from = devices[at(layer) * items + a];
    for (std::size_t b = 0; b < items; ++b) {
      sum += matrix[a * items + b] * problem.distance(from, devices[at(layer + 1) * items + b]);
    }
  }
  return sum;
}

bool whole(double x) { return x == std::floor(x) && std::abs(x) < 0x1p40; }

bool all_whole(const std::vector<std::vector<double>>& rows) {
  return std::ranges::all_of(rows, [](const auto& row) { return std::ranges::all_of(row, whole); });
}

}  // namespace

double item_objective(const PlacementProblem& problem, const Assignment& devices) {
  ensure(problem.comm != CommModel::dispatch, "items are judged without the dispatch model");
  double sum = 0.0;
  for (int l = 0; l < problem.layers; ++l) {
    sum +=
        problem.alpha * busiest(problem, devices, l) + problem.beta * traffic(problem, devices, l);
  }
  return sum;
}

double layer_objective(const PlacementProblem& problem, const Assignment& devices, int layer) {
  return problem.alpha * busiest(problem, devices, layer) +
         problem.beta * (traffic(problem, devices, layer - 1) + traffic(problem, devices, layer));
}

bool has_whole_objective(const PlacementProblem& problem) {
  return whole(problem.alpha) && whole(problem.beta) && whole(problem.c_intra) &&
         whole(problem.c_inter) && problem.slowness.empty() && all_whole(problem.loads) &&
         all_whole(problem.transitions);
}

bool has_alike_devices(const PlacementProblem& problem) {
  const auto alike = [](const auto& values) {
    return std::ranges::adjacent_find(values, std::not_equal_to<>()) == values.end();
  };
  return alike(problem.capacity) && alike(problem.slowness) && problem.forbidden.empty();
}

Assignment balanced_starts(const PlacementProblem& problem) {
  Assignment devices;
  for (int l = 0; l < problem.layers; ++l) {
    const std::vector<int> layer = balanced_start(problem, l);
    devices.insert(devices.end(), layer.begin(), layer.end());
  }
  return devices;
}

}  // namespace moesim
