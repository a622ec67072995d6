#include "workloads/generator/latent.h"

#include <algorithm>
#include <cmath>

#include "sim/core/rng.h"

namespace moesim::detail {
namespace {

std::uint64_t pair_key(std::uint64_t stream, std::uint64_t a, std::uint64_t b) {
  return mix64(stream ^ mix64(a * 0x9e3779b97f4a7c15ULL + b));
}

// What an autoregressive step adds so that its variance stays 1.
float innovation(double keep) { return static_cast<float>(std::sqrt(1.0 - keep * keep)); }

// Log-normal with mean square 1.
float strength(double spread, std::uint64_t key) {
  return spread == 0.0
             ? 1.0F
             : static_cast<float>(std::exp(spread * static_cast<double>(bell(mix64(key ^ 0x57))) -
                                           spread * spread));
}

}  // namespace

float bell(std::uint64_t key) {
  const auto sum = static_cast<std::int32_t>((key & 0xFFFFU) + ((key >> 16) & 0xFFFFU) +
                                             ((key >> 32) & 0xFFFFU) + (key >> 48));
  constexpr std::int32_t mean = 2 * 0xFFFF;
  constexpr float scale = 2.6429207e-05F;  // 1 / sqrt(4 * (65536^2 - 1) / 12)
  return static_cast<float>(sum - mean) * scale;
}

double uniform_of(std::uint64_t key) { return static_cast<double>(key >> 11) * 0x1p-53; }

std::uint32_t request_length(const GeneratorProfile& profile, double u) {
  const auto& p = profile.length_probability;
  const auto& tokens = profile.length_tokens;
  const auto at = std::ranges::upper_bound(p, u) - p.begin();
  const auto above = std::clamp<std::size_t>(static_cast<std::size_t>(at), 1, p.size() - 1);
  const std::size_t below = above - 1;
  const double width = p[above] - p[below];
  const double share = width > 0.0 ? (u - p[below]) / width : 0.0;
  const double log_tokens =
      std::log(tokens[below]) + share * (std::log(tokens[above]) - std::log(tokens[below]));
  return static_cast<std::uint32_t>(std::lround(std::exp(log_tokens)));
}

std::vector<double> token_id_law(const GeneratorProfile& profile) {
  std::vector<double> cumulative;
  double sum = 0.0;
  for (int rank = 1; rank <= profile.vocabulary; ++rank) {
    sum += std::pow(rank + profile.zipf_shift, -profile.zipf_exponent);
    cumulative.push_back(sum);
  }
  return cumulative;
}

TokenLatents::TokenLatents(const GeneratorProfile& profile, std::span<const double> id_law,
                           std::uint64_t seed)
    : dimensions_(static_cast<std::size_t>(profile.dimensions)),
      token_spread_(profile.token_spread),
      request_spread_(profile.request_spread),
      context_keep_(profile.context_correlation),
      fast_keep_(profile.fast_correlation),
      cumulative_(id_law) {
  const LayerAmplitudes& amplitudes = profile.amplitudes;
  const std::size_t layers = amplitudes.own.size();
  for (std::size_t l = 0; l < layers; ++l) {
    const double depth =
        layers == 1 ? 0.0 : static_cast<double>(l) / static_cast<double>(layers - 1);
    const double early = std::cos(profile.turn * depth);
    const double late = std::sin(profile.turn * depth);
    const std::array<double, k_components> size = {amplitudes.token[l], amplitudes.request[l],
                                                   amplitudes.context[l], amplitudes.fast[l]};
    HiddenScale scale{.part = {},
                      .own = static_cast<float>(amplitudes.own[l]),
                      .own_keep = l == 0 ? 0.0F : static_cast<float>(profile.layer_correlation),
                      .own_new = l == 0 ? 1.0F : innovation(profile.layer_correlation)};
    for (std::size_t i = 0; i < k_components; ++i) {
      scale.part[i] = static_cast<float>(size[i] * early);
      scale.part[k_components + i] = static_cast<float>(size[i] * late);
    }
    scales_.push_back(scale);
  }
  const RngStreams traffic(seed);
  id_key_ = traffic.stream("routing/token_ids").bits();
  request_key_ = traffic.stream("routing/requests").bits();
  context_key_ = traffic.stream("routing/context").bits();
  fast_key_ = traffic.stream("routing/fast_context").bits();
  own_key_ = traffic.stream("routing/own_state").bits();
  token_key_ = traffic.stream("routing/tokens").bits();
  // What a token id means is the model's, not the traffic's.
  vector_key_ = RngStreams(profile.model_seed).stream("routing/token_vectors").bits();
}

std::uint32_t TokenLatents::token_id(std::uint32_t request, std::uint32_t position) const {
  if (position == 0) {
    return 0;
  }
  const double at = uniform_of(pair_key(id_key_, request, position)) * cumulative_.back();
  const auto found = std::ranges::upper_bound(cumulative_, at) - cumulative_.begin();
  const auto last = static_cast<std::ptrdiff_t>(cumulative_.size()) - 1;
  return static_cast<std::uint32_t>(1 + std::min(found, last));
}

std::uint64_t TokenLatents::own_draws(std::uint64_t token_key, std::size_t layer) const {
  return own_key_ ^ mix64(token_key + layer);
}

bool TokenLatents::keeps(std::uint64_t stream, std::uint32_t request, std::uint32_t position,
                         double probability) {
  return uniform_of(pair_key(~stream, request, position)) < probability;
}

std::uint32_t TokenLatents::began(std::uint64_t stream, std::uint32_t request,
                                  std::uint32_t position, double probability) {
  if (probability >= 1.0) {
    return 0;
  }
  while (position > 0 && keeps(stream, request, position, probability)) {
    --position;
  }
  return position;
}

void TokenLatents::describe(const TokenRun& run, ContextStart start,
                            std::span<TokenState> states) const {
  const std::uint64_t request = pair_key(request_key_, run.request, 0);
  const float coherence = strength(request_spread_, request);
  // A context is known by the position where it began.
  std::uint32_t context_began = run.first_position;
  std::uint32_t fast_began = run.first_position;
  if (start == ContextStart::continued) {
    context_began = began(context_key_, run.request, run.first_position, context_keep_);
    fast_began = began(fast_key_, run.request, run.first_position, fast_keep_);
  }
  std::size_t next = 0;
  for (std::uint32_t i = 0; i < run.count && next < run.size(); ++i) {
    const std::uint32_t position = run.first_position + i;
    if (i > 0 && !keeps(context_key_, run.request, position, context_keep_)) {
      context_began = position;
    }
    if (i > 0 && !keeps(fast_key_, run.request, position, fast_keep_)) {
      fast_began = position;
    }
    if (!run.kept.empty() && run.kept[next] != i) {
      continue;
    }
    const std::uint32_t token = token_id(run.request, position);
    const std::uint64_t id = pair_key(vector_key_, token, 0);
    states[next] = {
        .key = pair_key(token_key_, run.request, position),
        .token_id = token,
        .component_keys = {id, request, pair_key(context_key_, run.request, context_began),
                           pair_key(fast_key_, run.request, fast_began)},
        .strengths = {strength(token_spread_, id), coherence, coherence, 1.0F}};
    ++next;
  }
}

void TokenLatents::fill(std::span<const TokenState> states, std::span<float> parts) const {
  const LaneKernels& kernels = lane_kernels();
  for (std::size_t component = 0; component < k_components; ++component) {
    std::array<std::uint64_t, k_lanes> early{};
    std::array<std::uint64_t, k_lanes> late{};
    std::array<float, k_lanes> strengths{};
    for (std::size_t lane = 0; lane < states.size(); ++lane) {
      early[lane] = states[lane].component_keys[component];
      late[lane] = ~early[lane];
      strengths[lane] = states[lane].strengths[component];
    }
    const auto part = [&](std::size_t p) {
      return parts.subspan(p * dimensions_ * k_lanes, dimensions_ * k_lanes).data();
    };
    kernels.bells(early.data(), strengths.data(), dimensions_, part(component));
    kernels.bells(late.data(), strengths.data(), dimensions_, part(k_components + component));
  }
}

}  // namespace moesim::detail
