// First program, per layer: x[e, c] in {0, 1}, every expert in one cluster, every cluster as many
// experts as its GPU has slots (exact mode) or at least one and at most that many, minimising
// sum_c |T_c - mean|. Deviations sum to zero, so twice the part above the mean is minimised.
#include "placement/published/moetuner.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "placement/heuristics/transport.h"
#include "placement/programs/milp_model.h"
#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

double imbalance_of(const PlacementProblem& problem, int layer, const std::vector<int>& cluster) {
  std::vector<double> load(at(problem.devices), 0.0);
  for (std::size_t e = 0; e < cluster.size(); ++e) {
    load[at(cluster[e])] += problem.loads[at(layer)][e];
  }
  const double mean = problem.total_load(layer) / problem.devices;
  double sum = 0.0;
  for (const double x : load) {
    sum += std::abs(x - mean);
  }
  return sum;
}

// Greedy clusters may leave some empty, which the first program does not allow.
void fill_empty_clusters(const PlacementProblem& problem, std::vector<int>& cluster) {
  std::vector<int> size(at(problem.devices), 0);
  for (const int c : cluster) {
    ++size[at(c)];
  }
  for (int c = 0; c < problem.devices && problem.experts >= problem.devices; ++c) {
    if (size[at(c)] > 0) {
      continue;
    }
    for (int& other : cluster) {
      if (size[at(other)] > 1) {
        --size[at(other)];
        other = c;
        ++size[at(c)];
        break;
      }
    }
  }
}

MilpModel cluster_program(const PlacementProblem& problem, int layer,
                          const std::vector<int>& start) {
  const auto& loads = problem.loads[at(layer)];
  const int experts = problem.experts;
  const int clusters = problem.devices;
  const double mean = problem.total_load(layer) / clusters;
  const double scale = power_of_two_below(mean);
  MilpModel model;
  for (int e = 0; e < experts; ++e) {
    std::vector<MilpTerm> somewhere;
    for (int c = 0; c < clusters; ++c) {
      somewhere.push_back({model.add_binary(0.0), 1.0});
      model.start.push_back(start[at(e)] == c ? 1.0 : 0.0);
    }
    model.add_row(1.0, 1.0, std::move(somewhere));
  }
  for (int c = 0; c < clusters; ++c) {
    std::vector<MilpTerm> count;
    std::vector<MilpTerm> load;
    double start_load = 0.0;
    for (int e = 0; e < experts; ++e) {
      count.push_back({e * clusters + c, 1.0});
      load.push_back({e * clusters + c, loads[at(e)] / scale});
      start_load += start[at(e)] == c ? loads[at(e)] : 0.0;
    }
    const double most = problem.capacity[at(c)];
    model.add_row(problem.exact_capacity ? most : (experts >= clusters ? 1.0 : 0.0), most,
                  std::move(count));
    load.push_back({model.add_continuous(0.0, k_unbounded, scale), -1.0});
    model.start.push_back(std::max(0.0, (start_load - mean) / scale));
    model.add_row(-k_unbounded, mean / scale, std::move(load));
  }
  return model;
}

bool interchangeable(const PlacementProblem& problem) {
  const auto& room = problem.capacity;
  return std::ranges::adjacent_find(room, std::not_equal_to<>()) == room.end();
}

// Nodes that take about a second (measured); small programs are solved long before.
std::int64_t nodes_for(int binaries) {
  return std::clamp<std::int64_t>(400'000 / std::max(binaries, 1), 10, 20'000);
}

std::vector<int> clusters_of(const PlacementProblem& problem, int layer, double seconds,
                             const SolverRun& run, bool& proven) {
  std::vector<int> best = balanced_start(problem, layer);
  fill_empty_clusters(problem, best);
  const bool symmetric = interchangeable(problem);
  if (symmetric) {  // the first expert goes to the first cluster
    const int old = best[0];
    for (int& c : best) {
      c = c == old ? 0 : c == 0 ? old : c;
    }
  }
  MilpModel model = cluster_program(problem, layer, best);
  model.lower[0] = symmetric ? 1.0 : 0.0;
  const MilpLimits limits{nodes_for(problem.experts * problem.devices), seconds};
  const MilpResult result = solve_milp(model, limits, run);
  proven = proven && result.status == MilpStatus::optimal;
  if (result.values.empty()) {
    return best;
  }
  std::vector<int> found(best.size(), -1);
  for (int e = 0; e < problem.experts; ++e) {
    for (int c = 0; c < problem.devices; ++c) {
      if (result.values[at(e * problem.devices + c)] > 0.5) {
        found[at(e)] = c;
      }
    }
  }
  return imbalance_of(problem, layer, found) < imbalance_of(problem, layer, best) ? found : best;
}

}  // namespace

MoetunerResult solve_moetuner(const PlacementProblem& problem, SolverRun& run) {
  MoetunerResult result;
  result.clusters_proven = true;
  std::vector<std::vector<int>> sizes;
  for (int l = 0; l < problem.layers; ++l) {
    // A fifth of the time is the second program's.
    const double seconds = 0.8 * run.seconds_left() / (problem.layers - l);
    result.cluster.push_back(clusters_of(problem, l, seconds, run, result.clusters_proven));
    result.imbalance.push_back(imbalance_of(problem, l, result.cluster.back()));
    sizes.emplace_back(at(problem.devices), 0);
    for (const int c : result.cluster.back()) {
      ++sizes.back()[at(c)];
    }
    result.gpu_of_cluster.emplace_back(at(problem.devices));
    std::iota(result.gpu_of_cluster.back().begin(), result.gpu_of_cluster.back().end(), 0);
  }
  if (problem.comm != CommModel::interlayer || problem.layers < 2) {
    return result;
  }
  std::vector<std::vector<double>> traffic;
  const auto experts = at(problem.experts);
  const auto clusters = at(problem.devices);
  for (std::size_t l = 0; l + 1 < at(problem.layers); ++l) {
    std::vector<double> between(clusters * clusters, 0.0);
    for (std::size_t a = 0; a < experts; ++a) {
      for (std::size_t b = 0; b < experts; ++b) {
        between[at(result.cluster[l][a]) * clusters + at(result.cluster[l + 1][b])] +=
            problem.transitions[l][a * experts + b];
      }
    }
    traffic.push_back(std::move(between));
  }
  assign_clusters(problem, traffic, sizes, run, result);
  return result;
}

SolverAnswer place_moetuner(const PlacementProblem& problem, SolverRun& run) {
  const MoetunerResult result = solve_moetuner(problem, run);
  Assignment devices;
  for (std::size_t l = 0; l < result.cluster.size(); ++l) {
    for (const int c : result.cluster[l]) {
      devices.push_back(result.gpu_of_cluster[l][at(c)]);
    }
  }
  return {placement_of(problem, devices), 0.0};
}

std::string unfit_moetuner(const PlacementProblem& problem) {
  if (!problem.forbidden.empty()) {
    return "MoETuner's clusters know no forbidden or pinned GPUs";
  }
  if (!problem.slowness.empty() &&
      std::ranges::adjacent_find(problem.slowness, std::not_equal_to<>()) !=
          problem.slowness.end()) {
    return "MoETuner's clusters are for GPUs of equal speed";
  }
  if (std::ranges::any_of(problem.capacity, [](int slots) { return slots < 1; })) {
    return "every GPU gets a cluster, but some have no slots";
  }
  if (!problem.expert_of_item.empty() || problem.redundant > 0) {
    return "MoETuner places one copy of every expert";
  }
  return {};
}

}  // namespace moesim
