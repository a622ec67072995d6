// Second program: permutations of clusters onto GPUs per layer, minimising
//   sum_l max_{c1, c2} C_l[c1, c2] * d(gpu(l, c1), gpu(l + 1, c2)).
// Terms couple consecutive layers only. Up to five GPUs a dynamic program over all permutations is
// exact, and faster than the program with linearised products; beyond that layers are re-assigned
// one after the other, each exactly given its neighbours (a bottleneck assignment), until nothing
// improves.
#include <algorithm>
#include <limits>
#include <numeric>

#include "placement/heuristics/transport.h"
#include "placement/published/moetuner.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

constexpr int k_exact_gpus = 5;
constexpr double k_infinite = std::numeric_limits<double>::infinity();

struct Chain {
  const PlacementProblem& problem;
  const std::vector<std::vector<double>>& traffic;
  const std::vector<std::vector<int>>& sizes;
  std::size_t gpus;

  [[nodiscard]] bool fits(std::size_t layer, std::size_t cluster, int gpu) const {
    const int room = problem.capacity[at(gpu)];
    const int size = sizes[layer][cluster];
    return problem.exact_capacity ? size == room : size <= room;
  }
  [[nodiscard]] double worst_pair(std::size_t layer, const std::vector<int>& here,
                                  const std::vector<int>& next) const {
    double worst = 0.0;
    for (std::size_t a = 0; a < gpus; ++a) {
      for (std::size_t b = 0; b < gpus; ++b) {
        worst = std::max(worst, traffic[layer][a * gpus + b] * problem.distance(here[a], next[b]));
      }
    }
    return worst;
  }
  [[nodiscard]] double total(const std::vector<std::vector<int>>& gpu_of) const {
    double sum = 0.0;
    for (std::size_t l = 0; l + 1 < gpu_of.size(); ++l) {
      sum += worst_pair(l, gpu_of[l], gpu_of[l + 1]);
    }
    return sum;
  }
};

std::vector<std::vector<int>> permutations(const Chain& chain, std::size_t layer) {
  std::vector<int> gpu_of(chain.gpus);
  std::iota(gpu_of.begin(), gpu_of.end(), 0);
  std::vector<std::vector<int>> all;
  do {
    bool fits = true;
    for (std::size_t c = 0; c < chain.gpus; ++c) {
      fits = fits && chain.fits(layer, c, gpu_of[c]);
    }
    if (fits) {
      all.push_back(gpu_of);
    }
  } while (std::ranges::next_permutation(gpu_of).found);
  return all;
}

void solve_chain(const Chain& chain, std::vector<std::vector<int>>& gpu_of) {
  const std::size_t layers = gpu_of.size();
  std::vector<std::vector<std::vector<int>>> states;
  std::vector<std::vector<std::size_t>> from(layers);
  std::vector<double> cost;
  for (std::size_t l = 0; l < layers; ++l) {
    states.push_back(permutations(chain, l));
    if (l == 0) {
      cost.assign(states[0].size(), 0.0);
      continue;
    }
    std::vector<double> next(states[l].size(), k_infinite);
    from[l].assign(states[l].size(), 0);
    for (std::size_t p = 0; p < states[l - 1].size(); ++p) {
      for (std::size_t q = 0; q < states[l].size(); ++q) {
        const double then = cost[p] + chain.worst_pair(l - 1, states[l - 1][p], states[l][q]);
        if (then < next[q]) {
          next[q] = then;
          from[l][q] = p;
        }
      }
    }
    cost = std::move(next);
  }
  auto best = static_cast<std::size_t>(std::ranges::min_element(cost) - cost.begin());
  for (std::size_t l = layers; l-- > 0;) {
    gpu_of[l] = states[l][best];
    best = l > 0 ? from[l][best] : 0;
  }
}

// Clusters of one layer to GPUs with before[c, g] <= limit and after[c, g] <= other limit.
class Bottleneck {
 public:
  Bottleneck(std::size_t gpus, std::vector<double> before, std::vector<double> after)
      : gpus_(gpus), before_(std::move(before)), after_(std::move(after)) {}

  // Minimises max before + max after over permutations; ties by the sum of all entries.
  [[nodiscard]] std::vector<int> solve() {
    std::vector<double> first = values(before_);
    std::vector<double> second = values(after_);
    double best = k_infinite;
    double first_limit = 0.0;
    double second_limit = 0.0;
    // The least second limit falls as the first grows: a walk down a staircase.
    std::size_t j = second.size();
    for (const double limit : first) {
      while (j > 0 && perfect(limit, second[j - 1])) {
        --j;
      }
      if (j < second.size() && limit + second[j] < best) {
        best = limit + second[j];
        first_limit = limit;
        second_limit = second[j];
      }
    }
    std::vector<double> costs(gpus_ * gpus_, k_infinite);
    for (std::size_t i = 0; i < costs.size(); ++i) {
      if (before_[i] <= first_limit && after_[i] <= second_limit) {
        costs[i] = before_[i] + after_[i];
      }
    }
    return transport(costs, std::vector<int>(gpus_, 1));
  }

 private:
  static std::vector<double> values(const std::vector<double>& entries) {
    std::vector<double> all;
    std::ranges::copy_if(entries, std::back_inserter(all), [](double x) { return x < k_infinite; });
    std::ranges::sort(all);
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
  }
  bool perfect(double first, double second) {
    cluster_on_.assign(gpus_, -1);
    for (std::size_t c = 0; c < gpus_; ++c) {
      tried_.assign(gpus_, false);
      if (!augment(c, first, second)) {
        return false;
      }
    }
    return true;
  }
  bool augment(std::size_t c, double first, double second) {  // NOLINT(misc-no-recursion): <= GPUs
    for (std::size_t g = 0; g < gpus_; ++g) {
      const std::size_t i = c * gpus_ + g;
      if (tried_[g] || before_[i] > first || after_[i] > second) {
        continue;
      }
      tried_[g] = true;
      if (cluster_on_[g] < 0 || augment(at(cluster_on_[g]), first, second)) {
        cluster_on_[g] = static_cast<int>(c);
        return true;
      }
    }
    return false;
  }

  std::size_t gpus_;
  std::vector<double> before_;
  std::vector<double> after_;
  std::vector<int> cluster_on_;
  std::vector<bool> tried_;
};

// `with_next`: the first sweep knows the layers before only.
std::vector<int> best_layer(const Chain& chain, const std::vector<std::vector<int>>& gpu_of,
                            std::size_t l, bool with_next) {
  const std::size_t gpus = chain.gpus;
  std::vector<double> before(gpus * gpus, 0.0);
  std::vector<double> after(gpus * gpus, 0.0);
  for (std::size_t c = 0; c < gpus; ++c) {
    for (std::size_t g = 0; g < gpus; ++g) {
      const int gpu = static_cast<int>(g);
      for (std::size_t other = 0; other < gpus; ++other) {
        if (l > 0) {
          before[c * gpus + g] =
              std::max(before[c * gpus + g], chain.traffic[l - 1][other * gpus + c] *
                                                 chain.problem.distance(gpu_of[l - 1][other], gpu));
        }
        if (with_next && l + 1 < gpu_of.size()) {
          after[c * gpus + g] =
              std::max(after[c * gpus + g], chain.traffic[l][c * gpus + other] *
                                                chain.problem.distance(gpu, gpu_of[l + 1][other]));
        }
      }
      if (!chain.fits(l, c, gpu)) {
        before[c * gpus + g] = k_infinite;
      }
    }
  }
  return Bottleneck(gpus, std::move(before), std::move(after)).solve();
}

void sweep(const Chain& chain, const SolverRun& run, std::vector<std::vector<int>>& gpu_of) {
  for (std::size_t l = 1; l < gpu_of.size() && !run.stopped(); ++l) {
    gpu_of[l] = best_layer(chain, gpu_of, l, false);
  }
  double best = chain.total(gpu_of);
  for (int pass = 0; pass < 20 && !run.stopped(); ++pass) {
    const double before = best;
    for (std::size_t l = 0; l < gpu_of.size() && !run.stopped(); ++l) {
      std::vector<int> old = gpu_of[l];
      gpu_of[l] = best_layer(chain, gpu_of, l, true);
      const double then = chain.total(gpu_of);
      if (then > best) {
        gpu_of[l] = std::move(old);
      } else {
        best = then;
      }
    }
    if (!(best < before)) {
      break;
    }
  }
}

}  // namespace

void assign_clusters(const PlacementProblem& problem,
                     const std::vector<std::vector<double>>& traffic,
                     const std::vector<std::vector<int>>& sizes, const SolverRun& run,
                     MoetunerResult& result) {
  const Chain chain{problem, traffic, sizes, at(problem.devices)};
  const bool exact = problem.devices <= k_exact_gpus;
  if (exact) {
    solve_chain(chain, result.gpu_of_cluster);
  } else {
    sweep(chain, run, result.gpu_of_cluster);
  }
  result.assignment = exact ? ClusterAssignment::exact_chain : ClusterAssignment::sweeps;
  result.worst_pair_sum = chain.total(result.gpu_of_cluster);
}

}  // namespace moesim
