// Expected against drawn routing: what both say of the same batches, as means over layers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <set>
#include <vector>

#include "workloads/sources/expected_routing.h"

namespace moesim::test {

// Contiguous placement of the experts on the ranks; nodes of 8 ranks.
struct RoutingFigures {
  double busiest_rank = 0.0;    // load of the busiest rank / mean
  double busiest_expert = 0.0;  // of the busiest expert / mean
  double touched = 0.0;         // experts with a pick, of all
  double busiest_pair = 0.0;    // most picks from a rank to a rank / mean
  double distinct_ranks = 0.0;  // per token
  double distinct_nodes = 0.0;  // per token
};

inline std::vector<std::int32_t> contiguous(int experts, int destinations) {
  std::vector<std::int32_t> to;
  for (int e = 0; e < experts; ++e) {
    to.push_back(static_cast<std::int32_t>(std::int64_t{e} * destinations / experts));
  }
  return to;
}

inline double max_over_mean(const std::vector<double>& loads) {
  const double sum = std::accumulate(loads.begin(), loads.end(), 0.0);
  return sum > 0.0 ? std::ranges::max(loads) * static_cast<double>(loads.size()) / sum : 1.0;
}

// Adds one layer's counts [expert * sources + source] to the sums of figures.
inline void add_counts(const std::vector<std::int32_t>& count, int experts, int ranks,
                       RoutingFigures& sum) {
  const auto to = contiguous(experts, ranks);
  const auto n = static_cast<std::size_t>(ranks);
  std::vector<double> rank(n);
  std::vector<double> expert(static_cast<std::size_t>(experts));
  std::vector<double> pair(n * n);
  for (std::size_t e = 0; e < expert.size(); ++e) {
    for (std::size_t s = 0; s < n; ++s) {
      const double picks = count[e * n + s];
      expert[e] += picks;
      pair[static_cast<std::size_t>(to[e]) * n + s] += picks;
    }
    rank[static_cast<std::size_t>(to[e])] += expert[e];
  }
  sum.busiest_rank += max_over_mean(rank);
  sum.busiest_expert += max_over_mean(expert);
  sum.busiest_pair += max_over_mean(pair);
  sum.touched +=
      static_cast<double>(std::ranges::count_if(expert, [](double picks) { return picks > 0.0; })) /
      static_cast<double>(experts);
}

inline RoutingFigures divided(RoutingFigures sum, double by) {
  for (double* figure : {&sum.busiest_rank, &sum.busiest_expert, &sum.touched, &sum.busiest_pair,
                         &sum.distinct_ranks, &sum.distinct_nodes}) {
    *figure /= by;
  }
  return sum;
}

inline int nodes_of(int ranks) { return std::max(1, ranks / 8); }

inline RoutingFigures expected_figures(const RoutingStatistics& statistics,
                                       const BatchShape& shape) {
  const RouterSpec& router = statistics.router();
  const SourceTokens tokens = {
      {shape.tokens_per_rank / shape.tokens_per_request, shape.tokens_per_request}};
  const std::vector<SourceTokens> sources(static_cast<std::size_t>(shape.ranks), tokens);
  const ExpectedBatch batch(statistics, sources);
  RoutingFigures sum;
  std::vector<std::int32_t> count;
  for (int l = 0; l < router.layers; ++l) {
    batch.counts(l, count);
    add_counts(count, router.experts, shape.ranks, sum);
    for (const double tokens_to :
         statistics.reach(l, contiguous(router.experts, shape.ranks), shape.ranks).tokens) {
      sum.distinct_ranks += tokens_to;
    }
    const int nodes = nodes_of(shape.ranks);
    for (const double tokens_to :
         statistics.reach(l, contiguous(router.experts, nodes), nodes).tokens) {
      sum.distinct_nodes += tokens_to;
    }
  }
  return divided(sum, router.layers);
}

// Mean over `seeds` drawn batches.
inline RoutingFigures drawn_figures(const RoutingSource& source, BatchShape shape, int seeds) {
  RoutingFigures sum;
  int layers = 0;
  for (int seed = 0; seed < seeds; ++seed) {
    shape.seed = 1000 + static_cast<std::uint64_t>(seed);
    const RoutedTokens tokens = source.batch(shape);
    layers = tokens.layers;
    const auto k = static_cast<std::size_t>(tokens.top_k);
    const auto ranks = static_cast<std::size_t>(shape.ranks);
    const auto to_rank = contiguous(tokens.experts, shape.ranks);
    const auto to_node = contiguous(tokens.experts, nodes_of(shape.ranks));
    const auto count_of = static_cast<double>(tokens.tokens());
    std::vector<std::int32_t> count(static_cast<std::size_t>(tokens.experts) * ranks);
    for (int l = 0; l < layers; ++l) {
      std::ranges::fill(count, 0);
      const auto picks = tokens.layer(l);
      double distinct_ranks = 0.0;
      double distinct_nodes = 0.0;
      std::vector<std::size_t> last_rank(ranks, picks.size());
      std::vector<std::size_t> last_node(ranks, picks.size());
      for (std::size_t i = 0; i < picks.size(); ++i) {
        const std::size_t t = i / k;
        ++count[picks[i] * ranks + t / static_cast<std::size_t>(shape.tokens_per_rank)];
        auto& rank = last_rank[static_cast<std::size_t>(to_rank[picks[i]])];
        auto& node = last_node[static_cast<std::size_t>(to_node[picks[i]])];
        distinct_ranks += rank == t ? 0.0 : 1.0;
        distinct_nodes += node == t ? 0.0 : 1.0;
        rank = t;
        node = t;
      }
      add_counts(count, tokens.experts, shape.ranks, sum);
      sum.distinct_ranks += distinct_ranks / count_of;
      sum.distinct_nodes += distinct_nodes / count_of;
    }
  }
  return divided(sum, static_cast<double>(seeds) * layers);
}

}  // namespace moesim::test
