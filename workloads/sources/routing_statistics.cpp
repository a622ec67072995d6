// What expected routing knows of a source: shares, a sample of tokens, and how counts scatter.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <utility>

#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "sim/core/thread_pool.h"
#include "workloads/sources/expected_routing.h"

namespace moesim {
namespace {

constexpr std::size_t k_fewest_tokens = 64;
// Layers whose correlations are averaged: neighbours are alike, and one layer's sample is noisy.
constexpr std::size_t k_smoothing = 3;

// Chances of an expert to be among a token's picks.
std::vector<double> chances(const RoutingReference& reference, std::size_t layer) {
  const auto experts = static_cast<std::size_t>(reference.router.experts);
  std::vector<double> chance(experts);
  for (std::size_t e = 0; e < experts; ++e) {
    chance[e] = std::min(reference.shares[layer * experts + e] * reference.router.top_k, 1.0);
  }
  return chance;
}

double variance(double chance) { return chance * (1.0 - chance); }

// Spread of a joint realisation brought to what it is on average over realisations. (Its sum stays
// 0 up to rounding of what the sample does not know about rare experts.)
void normalise(std::span<float> deviation, double total_variance) {
  double square = 0.0;
  for (const float value : deviation) {
    square += static_cast<double>(value) * static_cast<double>(value);
  }
  const double scale = square > 0.0 ? std::sqrt(total_variance / square) : 0.0;
  for (float& value : deviation) {
    value = static_cast<float>(value * scale);
  }
}

struct PairCounts {
  double shared = 0.0;
  double pairs = 0.0;
};

std::size_t shared_picks(std::span<const std::uint16_t> a, std::span<const std::uint16_t> b) {
  std::size_t shared = 0;
  for (const std::uint16_t id : a) {
    shared += id != k_no_expert && std::ranges::find(b, id) != b.end() ? 1U : 0U;
  }
  return shared;
}

}  // namespace

RoutingStatistics::RoutingStatistics(RoutingReference reference, int threads)
    : router_(reference.router),
      reference_tokens_(static_cast<int>(reference.tokens.tokens())),
      tokens_per_sequence_(reference.tokens_per_sequence),
      exact_(reference.exact),
      description_(std::move(reference.description)) {
  if (reference.tokens.request.size() < k_fewest_tokens && !exact_) {
    throw ConfigError("expected routing",
                      std::to_string(reference_tokens_) +
                          " tokens tell too little of a source; needs at least " +
                          std::to_string(k_fewest_tokens) + ", or drawn tokens");
  }
  const auto layers = static_cast<std::size_t>(router_.layers);
  const std::size_t cells = layers * static_cast<std::size_t>(router_.experts);
  ensure(reference.shares.size() == cells, "shares of every layer's experts");
  ensure(reference_tokens_ % tokens_per_sequence_ == 0, "sequences of equal length");
  token_deviation_.resize(cells);
  sequence_deviation_.resize(cells);
  common_.resize(layers);
  excess_.resize(layers * k_lags);
  excess_distance_.resize(layers * k_lags);
  Rng rng = RngStreams(0).stream("routing/expected_scatter");
  for (std::size_t i = 0; i < k_draws; ++i) {
    draws_.push_back(static_cast<float>(rng.normal()));
  }
  if (!exact_) {
    measure_correlations(reference, threads);
    parallel_for(layers, threads, [&](std::size_t l) { describe_layer(reference, l); });
  }
  shares_ = std::move(reference.shares);
  by_share_.resize(cells);
  for (std::size_t l = 0; l < layers; ++l) {
    const auto share = shares(static_cast<int>(l));
    const auto order = std::span(by_share_).subspan(l * share.size(), share.size());
    std::iota(order.begin(), order.end(), std::uint16_t{0});
    std::ranges::stable_sort(order, [&](auto a, auto b) { return share[a] > share[b]; });
  }
  picks_ = std::move(reference.tokens.ids);
}

void RoutingStatistics::describe_layer(const RoutingReference& reference, std::size_t layer) {
  const auto experts = static_cast<std::size_t>(router_.experts);
  const auto top_k = static_cast<std::size_t>(router_.top_k);
  const auto per_sequence = static_cast<std::size_t>(tokens_per_sequence_);
  const auto count = static_cast<std::size_t>(reference_tokens_);
  const auto picks = reference.tokens.layer(static_cast<int>(layer));
  // Every token and every sequence with a weight of its own, mean 0 and variance 1: the weighted
  // sums have the covariance of the sample's picks.
  Rng rng = RngStreams(0).stream("routing/expected", layer);
  std::vector<double> token_sum(experts);
  std::vector<double> sequence_sum(experts);
  std::vector<double> seen(experts);
  double token_weights = 0.0;
  double sequence_weights = 0.0;
  double sequence_weight = 0.0;
  for (std::size_t t = 0; t < count; ++t) {
    if (t % per_sequence == 0) {
      sequence_weight = rng.normal();
    }
    const double weight = rng.normal();
    token_weights += weight;
    sequence_weights += sequence_weight;
    for (const std::uint16_t id : picks.subspan(t * top_k, top_k)) {
      if (id != k_no_expert) {
        token_sum[id] += weight;
        sequence_sum[id] += sequence_weight;
        seen[id] += 1.0;
      }
    }
  }
  const auto chance = chances(reference, layer);
  double total = 0.0;
  for (std::size_t e = 0; e < experts; ++e) {
    const std::size_t cell = layer * experts + e;
    const double mean = seen[e] / static_cast<double>(count);
    const double spread = std::sqrt(static_cast<double>(count) * variance(mean));
    const double wanted = std::sqrt(variance(chance[e]));
    total += variance(chance[e]);
    // The sample is off an expert's share by some percent; the share itself is known.
    token_deviation_[cell] =
        static_cast<float>(spread > 0.0 ? (token_sum[e] - mean * token_weights) / spread * wanted
                                        : rng.normal() * wanted);
    sequence_deviation_[cell] = static_cast<float>(
        spread > 0.0 ? (sequence_sum[e] - mean * sequence_weights) / spread * wanted : 0.0);
  }
  normalise(std::span(token_deviation_).subspan(layer * experts, experts), total);
  normalise(std::span(sequence_deviation_).subspan(layer * experts, experts),
            total * common_[layer]);
}

void RoutingStatistics::measure_correlations(const RoutingReference& reference, int threads) {
  const auto layers = static_cast<std::size_t>(router_.layers);
  const auto top_k = static_cast<std::size_t>(router_.top_k);
  const auto per_sequence = static_cast<std::size_t>(tokens_per_sequence_);
  std::vector<std::map<std::size_t, PairCounts>> by_distance(layers);  // k_lags + 1: far apart
  std::vector<double> chance_squares(layers);
  parallel_for(layers, threads, [&](std::size_t l) {
    for (const double chance : chances(reference, l)) {
      chance_squares[l] += chance * chance;
    }
    const auto picks = reference.tokens.layer(static_cast<int>(l));
    for (std::size_t first = 0; first < reference.tokens.request.size(); first += per_sequence) {
      for (std::size_t a = first; a < first + per_sequence; ++a) {
        for (std::size_t b = a + 1; b < first + per_sequence; ++b) {
          const std::size_t distance = reference.tokens.position[b] - reference.tokens.position[a];
          PairCounts& counts = by_distance[l][std::min(distance, k_lags + 1)];
          counts.pairs += 1.0;
          counts.shared += static_cast<double>(
              shared_picks(picks.subspan(a * top_k, top_k), picks.subspan(b * top_k, top_k)));
        }
      }
    }
  });
  const double k = router_.top_k;
  for (std::size_t l = 0; l < layers; ++l) {
    std::map<std::size_t, PairCounts> near;
    double square = 0.0;
    double pooled = 0.0;
    for (std::size_t other = l < k_smoothing ? 0 : l - k_smoothing;
         other <= std::min(l + k_smoothing, layers - 1); ++other) {
      square += chance_squares[other];
      pooled += 1.0;
      for (const auto& [distance, counts] : by_distance[other]) {
        near[distance].pairs += counts.pairs;
        near[distance].shared += counts.shared;
      }
    }
    square /= pooled;
    const auto correlation = [&](const PairCounts& counts) {
      return k > square ? (counts.shared / counts.pairs - square) / (k - square) : 0.0;
    };
    const auto far = near.find(k_lags + 1);
    common_[l] = far == near.end() ? 0.0 : std::clamp(correlation(far->second), 0.0, 1.0);
    // Between the distances that were measured, linear in the logarithm of the distance.
    double sum = 0.0;
    double weighted = 0.0;
    for (std::size_t distance = 1; distance <= k_lags; ++distance) {
      const auto above = near.lower_bound(distance);
      double value = 0.0;
      if (above != near.end() && above->first <= k_lags) {
        value = correlation(above->second);
        if (above->first > distance && above != near.begin()) {
          const auto below = std::prev(above);
          const double from = std::log(static_cast<double>(below->first));
          const double to = std::log(static_cast<double>(above->first));
          const double at = (std::log(static_cast<double>(distance)) - from) / (to - from);
          value = (1.0 - at) * correlation(below->second) + at * value;
        }
        value = std::max(value - common_[l], 0.0);
      }
      sum += value;
      weighted += value * static_cast<double>(distance);
      excess_[l * k_lags + distance - 1] = sum;
      excess_distance_[l * k_lags + distance - 1] = weighted;
    }
  }
}

std::span<const double> RoutingStatistics::shares(int layer) const {
  const auto experts = static_cast<std::size_t>(router_.experts);
  return std::span(shares_).subspan(static_cast<std::size_t>(layer) * experts, experts);
}

std::span<const std::uint16_t> RoutingStatistics::reference_picks(int layer) const {
  const auto size =
      static_cast<std::size_t>(reference_tokens_) * static_cast<std::size_t>(router_.top_k);
  return std::span(picks_).subspan(static_cast<std::size_t>(layer) * size, size);
}

Reach RoutingStatistics::reach(int layer, std::span<const std::int32_t> destination_of_expert,
                               int destinations, int part, int parts) const {
  ensure(destination_of_expert.size() <= static_cast<std::size_t>(router_.experts) &&
             destinations > 0 && part >= 0 && part < parts && parts <= reference_tokens_,
         "destinations of the router's experts, and a part of the reference tokens");
  const auto top_k = static_cast<std::size_t>(router_.top_k);
  const auto picks = reference_picks(layer);
  std::vector<std::int32_t> served(static_cast<std::size_t>(destinations));
  std::vector<std::int32_t> reached(static_cast<std::size_t>(destinations));
  std::vector<std::int32_t> last(static_cast<std::size_t>(destinations), -1);
  std::int32_t looked_at = 0;
  for (int t = part; t < reference_tokens_; t += parts, ++looked_at) {
    for (const std::uint16_t id : picks.subspan(static_cast<std::size_t>(t) * top_k, top_k)) {
      const std::int32_t to =
          id < destination_of_expert.size() ? destination_of_expert[id] : std::int32_t{-1};
      if (to >= 0) {
        const auto d = static_cast<std::size_t>(to);
        ++served[d];
        reached[d] += last[d] == t ? 0 : 1;
        last[d] = t;
      }
    }
  }
  Reach result;
  for (std::size_t d = 0; d < served.size(); ++d) {
    result.picks.push_back(static_cast<double>(served[d]) / looked_at);
    result.tokens.push_back(static_cast<double>(reached[d]) / looked_at);
  }
  return result;
}

double RoutingStatistics::token_overdispersion(int layer, std::int64_t run) const {
  const auto l = static_cast<std::size_t>(layer);
  if (run <= 1) {
    return 1.0 - common_[l];
  }
  const std::size_t last = std::min(static_cast<std::size_t>(run - 1), k_lags) - 1 + l * k_lags;
  return 1.0 - common_[l] +
         2.0 * (excess_[last] - excess_distance_[last] / static_cast<double>(run));
}

double RoutingStatistics::overdispersion(int layer, std::int64_t run) const {
  const double common = common_[static_cast<std::size_t>(layer)];
  return token_overdispersion(layer, run) +
         common * static_cast<double>(std::max<std::int64_t>(run, 1));
}

}  // namespace moesim
