#include "workloads/latent.h"

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

// Draws of one vector share a key; consecutive keys are far apart after mixing.
void fill_bell(std::uint64_t key, std::span<float> values) {
  for (auto& value : values) {
    value = bell(mix64(key++));
  }
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

TokenLatents::TokenLatents(const GeneratorProfile& profile, std::uint64_t seed)
    : dimensions_(static_cast<std::size_t>(profile.dimensions)),
      context_keep_(static_cast<float>(profile.context_correlation)),
      context_new_(innovation(profile.context_correlation)),
      fast_keep_(static_cast<float>(profile.fast_correlation)),
      fast_new_(innovation(profile.fast_correlation)),
      own_keep_(static_cast<float>(profile.layer_correlation)),
      own_new_(innovation(profile.layer_correlation)) {
  const LayerAmplitudes& amplitudes = profile.amplitudes;
  for (std::size_t l = 0; l < amplitudes.own.size(); ++l) {
    scales_.push_back({.token = static_cast<float>(amplitudes.token[l]),
                       .request = static_cast<float>(amplitudes.request[l]),
                       .context = static_cast<float>(amplitudes.context[l]),
                       .fast = static_cast<float>(amplitudes.fast[l]),
                       .own = static_cast<float>(amplitudes.own[l])});
  }
  double sum = 0.0;
  for (int rank = 1; rank <= profile.vocabulary; ++rank) {
    sum += std::pow(rank + profile.zipf_shift, -profile.zipf_exponent);
    cumulative_.push_back(sum);
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

std::uint64_t TokenLatents::token_key(std::uint32_t request, std::uint32_t position) const {
  return pair_key(token_key_, request, position);
}

void TokenLatents::fill(const TokenRun& run, std::span<float> parts) const {
  const std::size_t d = dimensions_;
  std::vector<float> of_request(d);
  std::vector<float> context(d);
  std::vector<float> fast(d);
  std::vector<float> fresh(d);
  fill_bell(pair_key(request_key_, run.request, 0), of_request);
  const auto advance = [&](std::span<float> state, std::uint64_t stream, std::uint32_t position,
                           float keep, float add) {
    fill_bell(pair_key(stream, run.request, position), fresh);
    for (std::size_t i = 0; i < d; ++i) {
      state[i] = keep * state[i] + add * fresh[i];
    }
  };
  std::size_t next = 0;
  for (std::uint32_t i = 0; i < run.count && next < run.size(); ++i) {
    const std::uint32_t position = run.first_position + i;
    const bool begins = i == 0;
    advance(context, context_key_, position, context_keep_, begins ? 1.0F : context_new_);
    advance(fast, fast_key_, position, fast_keep_, begins ? 1.0F : fast_new_);
    if (!run.kept.empty() && run.kept[next] != i) {
      continue;
    }
    const auto out = parts.subspan(next * k_parts * d, k_parts * d);
    fill_bell(pair_key(vector_key_, token_id(run.request, position), 0), out.first(d));
    std::ranges::copy(of_request, out.subspan(d).begin());
    std::ranges::copy(context, out.subspan(2 * d).begin());
    std::ranges::copy(fast, out.subspan(3 * d).begin());
    ++next;
  }
}

void TokenLatents::hidden(std::span<const float> parts, std::uint64_t key, std::size_t layer,
                          std::span<float> own, std::span<float> h) const {
  const std::size_t d = dimensions_;
  const LayerScale& scale = scales_[layer];
  const float keep = layer == 0 ? 0.0F : own_keep_;
  const float add = layer == 0 ? 1.0F : own_new_;
  std::uint64_t draw = own_key_ ^ mix64(key + layer);
  float square = 0.0F;
  for (std::size_t i = 0; i < d; ++i) {
    own[i] = keep * own[i] + add * bell(mix64(draw++));
    h[i] = scale.token * parts[i] + scale.request * parts[d + i] +
           scale.context * parts[2 * d + i] + scale.fast * parts[3 * d + i] + scale.own * own[i];
    square += h[i] * h[i];
  }
  const float norm = square > 0.0F ? 1.0F / std::sqrt(square) : 0.0F;
  for (std::size_t i = 0; i < d; ++i) {
    h[i] *= norm;
  }
}

}  // namespace moesim::detail
