// What a fit starts from when no profile is given.
#include <algorithm>
#include <array>
#include <cmath>

#include "workloads/generator/profile_fit.h"

namespace moesim {
namespace {

// Chosen for the deepseek-v2-lite profile (README.md), amplitudes: its means over layers.
constexpr int dimensions = 20;
constexpr double context_correlation = 0.9;
constexpr double fast_correlation = 0.4;
constexpr double layer_correlation = 0.92;
constexpr double turn = 1.4;
constexpr double request_spread = 0.6;
constexpr double router_noise = 0.06;
constexpr double zipf_exponent = 1.02;
constexpr double zipf_shift = 1.0;
constexpr double token = 0.67;
constexpr double request = 0.39;
constexpr double context = 0.40;
constexpr double fast = 0.46;
constexpr double own = 0.061;

constexpr std::array length_quantiles{0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0};
constexpr double shortest = 2.0;  // tokens; what profiles allow

// Of the trace's requests, in tokens, at length_quantiles.
std::vector<double> request_lengths(const RoutedTokens& data) {
  std::vector<double> lengths;
  for (std::size_t t = 0; t < data.request.size(); ++t) {
    if (t == 0 || data.request[t] != data.request[t - 1]) {
      lengths.push_back(0.0);
    }
    lengths.back() += 1.0;
  }
  std::ranges::sort(lengths);
  std::vector<double> values;
  for (const double probability : length_quantiles) {
    const double at = probability * static_cast<double>(lengths.size() - 1);
    values.push_back(std::max(shortest, lengths[static_cast<std::size_t>(std::llround(at))]));
  }
  return values;
}

int distinct_tokens(const RoutedTokens& data) {
  std::vector<std::uint32_t> ids = data.token_id;
  std::ranges::sort(ids);
  const auto repeated = std::ranges::unique(ids);
  return std::max(1, static_cast<int>(ids.size() - repeated.size()));
}

}  // namespace

GeneratorProfile start_of_fit(const RoutedTokens& data, const TraceMetadata& metadata) {
  GeneratorProfile profile;
  profile.router = {.layers = data.layers, .experts = data.experts, .top_k = data.top_k};
  profile.first_layer = metadata.first_layer;
  profile.notes = {
      "measured: load cv and max_over_mean per layer, quantiles of request lengths, vocabulary",
      "fitted: amplitudes per layer (recall of a token-id table, overlap at lags 1 and 32)",
      "assumed, as for deepseek-v2-lite: dimensions, correlations, turn, spreads, router noise, "
      "Zipf law; no expert groups, no zero-cost experts"};
  profile.dimensions = dimensions;
  profile.context_correlation = context_correlation;
  profile.fast_correlation = fast_correlation;
  profile.layer_correlation = layer_correlation;
  profile.turn = turn;
  profile.request_spread = request_spread;
  profile.router_noise = router_noise;
  const auto layers = static_cast<std::size_t>(data.layers);
  profile.amplitudes = {.token = std::vector(layers, token),
                        .request = std::vector(layers, request),
                        .context = std::vector(layers, context),
                        .fast = std::vector(layers, fast),
                        .own = std::vector(layers, own)};
  profile.vocabulary = distinct_tokens(data);
  profile.zipf_exponent = zipf_exponent;
  profile.zipf_shift = zipf_shift;
  profile.length_probability.assign(length_quantiles.begin(), length_quantiles.end());
  profile.length_tokens = request_lengths(data);
  profile.model_seed = 1;
  return profile;
}

}  // namespace moesim
