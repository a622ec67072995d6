// Tokens in order: overlap with earlier tokens, what requests do to loads, expert caches.
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "sim/core/lru_index.h"
#include "sim/core/thread_pool.h"
#include "workloads/statistics/statistics_parts.h"

namespace moesim::detail {
namespace {

using Pairs = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

// Mean share of experts that the tokens of a pair have in common, per layer.
std::vector<double> overlap_by_layer(const StatisticsInput& input, const Pairs& pairs) {
  std::vector<double> values(input.layers());
  parallel_for(values.size(), input.threads, [&](std::size_t l) {
    std::int64_t shared = 0;
    for (const auto& [a, b] : pairs) {
      shared += input.masks.overlap(l, a, b);
    }
    values[l] = static_cast<double>(shared) / static_cast<double>(pairs.size() * input.top_k());
  });
  return values;
}

Pairs pairs_at(const StatisticsInput& input, std::size_t lag) {
  Pairs pairs;
  for (std::size_t t = lag; t < input.segment_of.size(); ++t) {
    const std::size_t before = t - lag;
    if (input.segment_of[t] == input.segment_of[before] && input.counted[t] != 0 &&
        input.counted[before] != 0) {
      pairs.emplace_back(static_cast<std::uint32_t>(before), static_cast<std::uint32_t>(t));
    }
  }
  return pairs;
}

// Total-variation distance of two load vectors, each relative to its own sum.
double variation_distance(std::span<const double> a, std::span<const double> b) {
  double sum_a = 0.0;
  double sum_b = 0.0;
  for (std::size_t e = 0; e < a.size(); ++e) {
    sum_a += a[e];
    sum_b += b[e];
  }
  double distance = 0.0;
  for (std::size_t e = 0; e < a.size(); ++e) {
    distance += 0.5 * std::abs(a[e] / sum_a - b[e] / sum_b);
  }
  return distance;
}

double correlation(std::span<const double> a, std::span<const double> b) {
  const double mean_a = mean(a);
  const double mean_b = mean(b);
  double ab = 0.0;
  double aa = 0.0;
  double bb = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return aa > 0.0 && bb > 0.0 ? ab / std::sqrt(aa * bb) : 0.0;
}

std::vector<std::vector<double>> loads_by_layer(const StatisticsInput& input,
                                                std::span<const std::uint32_t> some) {
  std::vector<std::vector<double>> loads(input.layers());
  parallel_for(loads.size(), input.threads,
               [&](std::size_t l) { loads[l] = input.loads(l, some); });
  return loads;
}

double mean_distance(const StatisticsInput& input, std::span<const std::uint32_t> some,
                     const std::vector<std::vector<double>>& whole) {
  double sum = 0.0;
  for (std::size_t l = 0; l < input.layers(); ++l) {
    sum += variation_distance(input.loads(l, some), whole[l]);
  }
  return sum / static_cast<double>(input.layers());
}

std::vector<std::uint32_t> counted_tokens(const StatisticsInput& input, const Segment& segment) {
  std::vector<std::uint32_t> tokens;
  for (std::size_t t = segment.first; t < segment.first + segment.tokens; ++t) {
    if (input.counted[t] != 0) {
      tokens.push_back(static_cast<std::uint32_t>(t));
    }
  }
  return tokens;
}

void add_distance_rows(const StatisticsInput& input, const std::vector<std::vector<double>>& whole,
                       Rows& rows) {
  Rng rng = input.streams.stream("statistics/requests");
  std::vector<std::vector<std::uint32_t>> own;
  std::vector<std::vector<std::uint32_t>> drawn;
  for (const Segment& segment : input.segments) {
    if (segment.tokens > 200) {
      own.push_back(counted_tokens(input, segment));
      drawn.push_back(input.draw(own.back().size(), rng));
    }
  }
  if (own.empty()) {
    return;
  }
  std::vector<double> distance(own.size());
  std::vector<double> floor(own.size());
  parallel_for(own.size(), input.threads, [&](std::size_t i) {
    distance[i] = mean_distance(input, own[i], whole);
    floor[i] = mean_distance(input, drawn[i], whole);
  });
  rows.push_back({"request_load_tv_distance", input.mean_of_layers(),
                  "requests > 200 tokens vs whole set", mean(distance), "fraction"});
  rows.push_back({"request_load_tv_distance", input.mean_of_layers(),
                  "same size random draw (sampling floor)", mean(floor), "fraction"});
}

// Hits of a least-recently-used cache of `capacity` experts over one layer of one request.
std::int64_t lru_hits(const StatisticsInput& input, std::size_t layer, const Segment& segment,
                      std::size_t capacity) {
  LruIndex cache(capacity);
  std::int64_t hits = 0;
  for (std::size_t t = segment.first; t < segment.first + segment.tokens; ++t) {
    if (input.counted[t] == 0) {
      continue;
    }
    for (const auto expert : input.ids(layer, t)) {
      hits += cache.touch(expert).hit ? 1 : 0;
    }
  }
  return hits;
}

}  // namespace

std::vector<double> overlap_at(const StatisticsInput& input, std::size_t lag) {
  const auto pairs = pairs_at(input, lag);
  return pairs.empty() ? std::vector<double>{} : overlap_by_layer(input, pairs);
}

std::vector<double> random_overlap(const StatisticsInput& input) {
  if (input.kept.size() < 2) {
    return {};
  }
  Rng rng = input.streams.stream("statistics/pairs");
  const auto order = input.draw(input.kept.size(), rng);
  Pairs pairs;
  for (std::size_t i = 1; i < order.size(); ++i) {
    pairs.emplace_back(order[i - 1], order[i]);
  }
  return overlap_by_layer(input, pairs);
}

void add_overlap_rows(const StatisticsInput& input, Rows& rows) {
  for (const std::size_t lag : {1U, 2U, 4U, 8U, 16U, 32U}) {
    const auto values = overlap_at(input, lag);
    if (values.empty()) {
      break;
    }
    const std::string name = "lag " + std::to_string(lag);
    rows.push_back(
        {"token_expert_overlap", input.mean_of_layers(), name, mean(values), "fraction"});
    for (std::size_t l = 0; lag == 1 && l < values.size(); ++l) {
      rows.push_back({"token_expert_overlap", input.layer_name(l), name, values[l], "fraction"});
    }
  }
  if (const auto values = random_overlap(input); !values.empty()) {
    rows.push_back({"token_expert_overlap", input.mean_of_layers(), "random token pair",
                    mean(values), "fraction"});
  }
}

void add_request_rows(const StatisticsInput& input, Rows& rows) {
  const auto whole = loads_by_layer(input, input.kept);
  add_distance_rows(input, whole, rows);
  const std::size_t half = input.kept.size() / 2;
  if (half == 0) {
    return;
  }
  const auto first = loads_by_layer(input, std::span(input.kept).first(half));
  const auto second = loads_by_layer(input, std::span(input.kept).subspan(half));
  std::vector<double> correlations;
  std::vector<double> distances;
  for (std::size_t l = 0; l < input.layers(); ++l) {
    correlations.push_back(correlation(first[l], second[l]));
    distances.push_back(variation_distance(first[l], second[l]));
  }
  rows.push_back({"load_stability_correlation", input.mean_of_layers(), "first half vs second half",
                  mean(correlations), ""});
  rows.push_back({"load_stability_tv", input.mean_of_layers(), "first half vs second half",
                  mean(distances), "fraction"});
}

void add_cache_rows(const StatisticsInput& input, Rows& rows) {
  std::vector<Segment> chosen;
  for (const Segment& segment : input.segments) {
    if (segment.tokens >= 100 && chosen.size() < 60) {
      chosen.push_back(segment);
    }
  }
  if (chosen.empty()) {
    return;
  }
  std::int64_t looked_up = 0;
  for (const Segment& segment : chosen) {
    looked_up += static_cast<std::int64_t>(counted_tokens(input, segment).size());
  }
  const std::size_t sampled = (input.layers() + 3) / 4;
  looked_up *= static_cast<std::int64_t>(sampled * input.top_k());
  std::size_t before = 0;
  for (const std::size_t of_64 : {6U, 8U, 12U, 16U, 24U, 32U, 48U}) {
    const std::size_t capacity = (of_64 * input.experts() + 32) / 64;
    if (capacity == std::exchange(before, capacity)) {
      continue;  // few experts: two sizes round to the same
    }
    std::vector<std::int64_t> hits(chosen.size() * sampled);
    parallel_for(hits.size(), input.threads, [&](std::size_t i) {
      hits[i] = lru_hits(input, i % sampled * 4, chosen[i / sampled], capacity);
    });
    std::int64_t sum = 0;
    for (const auto hit : hits) {
      sum += hit;
    }
    rows.push_back({"expert_cache_hit_rate", "every 4th layer",
                    "LRU per layer; " + std::to_string(capacity) + " of " +
                        std::to_string(input.experts()) +
                        " experts; reset per request; token order",
                    static_cast<double>(sum) / static_cast<double>(looked_up), "fraction"});
  }
}

}  // namespace moesim::detail
