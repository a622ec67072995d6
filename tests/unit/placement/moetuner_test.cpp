#include "placement/published/moetuner.h"

#include <cmath>
#include <numeric>

#include <catch2/catch.hpp>

#include "placement/heuristics/transport.h"
#include "random_problem.h"

using namespace moesim;

namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

double imbalance(const PlacementProblem& p, int layer, const std::vector<int>& cluster) {
  std::vector<double> load(at(p.devices), 0.0);
  for (int e = 0; e < p.experts; ++e) {
    load[at(cluster[at(e)])] += p.loads[at(layer)][at(e)];
  }
  double sum = 0.0;
  for (const double x : load) {
    sum += std::abs(x - p.total_load(layer) / p.devices);
  }
  return sum;
}

// Second program by enumeration of all permutations of all layers.
double best_assignment(const PlacementProblem& p, const std::vector<std::vector<double>>& traffic,
                       std::vector<std::vector<int>>& gpu_of, std::size_t l = 0) {
  const auto gpus = at(p.devices);
  if (l == gpu_of.size()) {
    double sum = 0.0;
    for (std::size_t i = 0; i + 1 < gpu_of.size(); ++i) {
      double worst = 0.0;
      for (std::size_t a = 0; a < gpus; ++a) {
        for (std::size_t b = 0; b < gpus; ++b) {
          worst = std::max(worst,
                           traffic[i][a * gpus + b] * p.distance(gpu_of[i][a], gpu_of[i + 1][b]));
        }
      }
      sum += worst;
    }
    return sum;
  }
  double best = std::numeric_limits<double>::infinity();
  std::iota(gpu_of[l].begin(), gpu_of[l].end(), 0);
  do {
    best = std::min(best, best_assignment(p, traffic, gpu_of, l + 1));
  } while (std::ranges::next_permutation(gpu_of[l]).found);
  return best;
}

}  // namespace

TEST_CASE("transport finds the cheapest assignment", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{60}));
  CAPTURE(seed);
  Rng rng(seed);
  PlacementProblem p = test::random_problem(rng, 1, 6, 3, 3, 2 + static_cast<int>(rng.below(2)));
  std::vector<double> costs;
  for (int i = 0; i < 18; ++i) {
    costs.push_back(rng.below(8) == 0 ? std::numeric_limits<double>::infinity()
                                      : static_cast<double>(rng.below(30)) - 10.0);
  }
  const auto cost_of = [&](const std::vector<int>& device) {
    double sum = 0.0;
    for (std::size_t i = 0; i < device.size(); ++i) {
      sum += costs[i * 3 + at(device[i])];
    }
    return sum;
  };
  double best = std::numeric_limits<double>::infinity();
  test::for_each_layer(p, 0, [&](const std::vector<int>& d) { best = std::min(best, cost_of(d)); });
  const std::vector<int> found = transport(costs, p.capacity);
  CHECK(found.empty() == std::isinf(best));
  if (!found.empty()) {
    CHECK(cost_of(found) == best);
    for (int g = 0; g < 3; ++g) {
      CHECK(std::ranges::count(found, g) <= p.capacity[at(g)]);
    }
  }
}

TEST_CASE("MoETuner's clusters are as even as enumeration's", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{12}));
  const bool exact = GENERATE(true, false);
  CAPTURE(seed, exact);
  Rng rng(seed);
  const PlacementProblem p = test::random_problem(rng, 2, 8, 2, 2, exact ? 4 : 6);
  SolverRun run({});
  const MoetunerResult result = solve_moetuner(p, run);
  CHECK(result.clusters_proven);
  for (int l = 0; l < p.layers; ++l) {
    double best = std::numeric_limits<double>::infinity();
    test::for_each_layer(p, l, [&](const std::vector<int>& device) {
      bool all = true;
      for (int g = 0; g < p.devices; ++g) {
        all = all && std::ranges::find(device, g) != device.end();
      }
      best = all ? std::min(best, imbalance(p, l, device)) : best;
    });
    CHECK(result.imbalance[at(l)] == Approx(best).margin(1e-9));
    CHECK(imbalance(p, l, result.cluster[at(l)]) == Approx(best).margin(1e-9));
  }
  SolverRun again({.threads = 2});
  const SolverAnswer a = place_moetuner(p, run);
  const SolverAnswer b = place_moetuner(p, again);
  CHECK(a.placement.slot_expert == b.placement.slot_expert);
  check_feasible(p, a.placement, "moetuner");
}

TEST_CASE("MoETuner's clusters go to GPUs at the least worst pair", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{20}));
  // Up to five GPUs the whole chain is exact; of two layers on one node, so are sweeps.
  const bool chain = GENERATE(true, false);
  CAPTURE(seed, chain);
  Rng rng(seed);
  const int gpus = chain ? 4 : 6;
  const int layers = chain ? 3 : 2;
  const PlacementProblem p = test::random_problem(rng, layers, gpus, gpus, chain ? 2 : gpus, 1);
  std::vector<std::vector<double>> traffic(at(layers - 1));
  for (auto& between : traffic) {
    for (int i = 0; i < gpus * gpus; ++i) {
      between.push_back(static_cast<double>(rng.below(50)));
    }
  }
  std::vector<int> identity(at(gpus));
  std::iota(identity.begin(), identity.end(), 0);
  MoetunerResult result;
  result.gpu_of_cluster.assign(at(layers), identity);
  const std::vector<std::vector<int>> sizes(at(layers), std::vector<int>(at(gpus), 1));
  SolverRun run({});
  assign_clusters(p, traffic, sizes, run, result);
  CHECK(result.assignment == (chain ? ClusterAssignment::exact_chain : ClusterAssignment::sweeps));
  for (const auto& gpu_of : result.gpu_of_cluster) {
    CHECK(std::ranges::is_permutation(gpu_of, identity));
  }
  // On one node the first layer's labels are free: fix them, enumerate the second.
  double best = std::numeric_limits<double>::infinity();
  if (chain) {
    std::vector<std::vector<int>> gpu_of(at(layers), identity);
    best = best_assignment(p, traffic, gpu_of);
  } else {
    std::vector<int> second = identity;
    do {
      double worst = 0.0;
      for (int a = 0; a < gpus; ++a) {
        for (int b = 0; b < gpus; ++b) {
          worst = std::max(worst, traffic[0][at(a * gpus + b)] * p.distance(a, second[at(b)]));
        }
      }
      best = std::min(best, worst);
    } while (std::ranges::next_permutation(second).found);
  }
  CHECK(result.worst_pair_sum == best);
}

TEST_CASE("no layer of MoETuner's sweeps can be improved alone", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{15}));
  CAPTURE(seed);
  Rng rng(seed);
  const int gpus = 6;
  PlacementProblem p = test::random_problem(rng, 3, gpus, gpus, 2, 1);
  std::vector<std::vector<double>> traffic(2);
  for (auto& between : traffic) {
    for (int i = 0; i < gpus * gpus; ++i) {
      between.push_back(static_cast<double>(rng.below(50)));
    }
  }
  std::vector<int> identity(at(gpus));
  std::iota(identity.begin(), identity.end(), 0);
  MoetunerResult result;
  result.gpu_of_cluster.assign(3, identity);
  SolverRun run({});
  assign_clusters(p, traffic, std::vector<std::vector<int>>(3, std::vector<int>(at(gpus), 1)), run,
                  result);
  const auto worst = [&](std::size_t l, const std::vector<std::vector<int>>& gpu_of) {
    double most = 0.0;
    for (std::size_t a = 0; a < at(gpus); ++a) {
      for (std::size_t b = 0; b < at(gpus); ++b) {
        most = std::max(most,
                        traffic[l][a * at(gpus) + b] * p.distance(gpu_of[l][a], gpu_of[l + 1][b]));
      }
    }
    return most;
  };
  for (std::size_t l = 0; l < 3; ++l) {
    std::vector<std::vector<int>> gpu_of = result.gpu_of_cluster;
    gpu_of[l] = identity;
    double best = std::numeric_limits<double>::infinity();
    do {
      best = std::min(best, worst(0, gpu_of) + worst(1, gpu_of));
    } while (std::ranges::next_permutation(gpu_of[l]).found);
    CHECK(result.worst_pair_sum == best);
  }
}
