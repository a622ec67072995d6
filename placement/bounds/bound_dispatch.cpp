// dispatch: the devices a token visits are sum over its items i of 1 / n_i, n_i being how many of
// its items share i's device. For whole n >= 1 and any j >= 1 the chord through j and j + 1 gives
// 1 / n >= 1 / j - (n - j) / (j (j + 1)). Summed over the tokens of one item, n - 1 is the number
// of tokens shared with the partners on its device, of which there are at most slots - 1: the best
// partners bound it. The same for nodes with slots * devices_per_node.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "placement/bounds/bounds.h"
#include "placement/replication/replicas.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

// Least sum over the item's tokens of 1 / n, given the shared tokens of its best partners.
double least_visits(double tokens, double shared, int top_k, int partners) {
  const int most = std::min(top_k, partners + 1);
  double best = tokens / most;
  for (int j = 1; j < most; ++j) {
    // n = 1 + shared tokens, summed: tokens + shared.
    best = std::max(best, tokens / j - (tokens + shared - j * tokens) / (j * (j + 1.0)));
  }
  return best;
}

double least_places(const std::vector<double>& shared, const std::vector<double>& tokens, int top_k,
                    int together) {
  const std::size_t n = tokens.size();
  double visits = 0.0;
  std::vector<double> row(n);
  const auto partners = std::min<std::size_t>(at(together) - 1, n - 1);
  for (std::size_t i = 0; i < n; ++i) {
    std::copy_n(shared.begin() + static_cast<std::ptrdiff_t>(i * n), n, row.begin());
    std::partial_sort(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(partners), row.end(),
                      std::greater<>());
    const double most =
        std::accumulate(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(partners), 0.0);
    visits += least_visits(tokens[i], most, top_k, static_cast<int>(partners));
  }
  return visits;
}

}  // namespace

double dispatch_layer_bound(const PlacementProblem& problem, int layer) {
  const auto& ids = problem.token_sets[at(layer)];
  const std::size_t k = at(problem.top_k);
  const auto token_count = static_cast<double>(ids.size() / k);
  const double leaves_device = (1.0 - 1.0 / problem.devices_per_node) * problem.c_intra;
  const double leaves_node = (1.0 - 1.0 / problem.nodes()) * problem.c_inter;
  const int slots = *std::ranges::max_element(problem.capacity);
  double devices = token_count * std::ceil(static_cast<double>(problem.top_k) / slots);
  double nodes = token_count *
                 std::ceil(static_cast<double>(problem.top_k) / (slots * problem.devices_per_node));
  if (problem.redundant == 0) {  // which replica a token meets would be another degree of freedom
    const std::size_t n = at(problem.experts);
    std::vector<double> shared(n * n, 0.0);
    std::vector<double> tokens(n, 0.0);
    for (std::size_t t = 0; t < ids.size(); t += k) {
      for (std::size_t i = t; i < t + k; ++i) {
        tokens[ids[i]] += 1.0;
        for (std::size_t j = t; j < t + k; ++j) {
          shared[ids[i] * n + ids[j]] += i != j ? 1.0 : 0.0;
        }
      }
    }
    devices = std::max(devices, least_places(shared, tokens, problem.top_k, slots));
    nodes = std::max(nodes,
                     least_places(shared, tokens, problem.top_k, slots * problem.devices_per_node));
  }
  return leaves_device * devices + leaves_node * nodes;
}

}  // namespace moesim
