#include "workloads/generator.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "sim/core/thread_pool.h"
#include "workloads/router.h"

namespace moesim {
namespace detail {
namespace {

using Four = float __attribute__((vector_size(16)));

Four load_four(const float* from) {
  Four value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

}  // namespace

std::size_t padded_experts(const RouterSpec& router) {
  const auto experts = static_cast<std::size_t>(router.experts);
  return (experts + k_score_block - 1) / k_score_block * k_score_block;
}

std::vector<float> expert_vectors(const GeneratorProfile& profile, int layer) {
  Rng rng = RngStreams(profile.model_seed)
                .stream("routing/expert_vectors", static_cast<std::uint64_t>(layer));
  const auto d = static_cast<std::size_t>(profile.dimensions);
  std::vector<float> vectors(padded_experts(profile.router) * d);
  std::vector<double> direction(d);
  for (std::size_t e = 0; e < static_cast<std::size_t>(profile.router.experts); ++e) {
    double square = 0.0;
    for (auto& value : direction) {
      value = rng.normal();
      square += value * value;
    }
    const double scale = std::sqrt(static_cast<double>(d) / square);
    for (std::size_t i = 0; i < d; ++i) {
      const std::size_t at = (e / k_score_block * d + i) * k_score_block + e % k_score_block;
      vectors[at] = static_cast<float>(direction[i] * scale);
    }
  }
  return vectors;
}

std::vector<float> noise_table(const GeneratorProfile& profile) {
  Rng rng = RngStreams(profile.model_seed).stream("routing/router_noise");
  std::vector<float> table(k_noise_period + padded_experts(profile.router));
  for (auto& value : table) {
    value = static_cast<float>(profile.router_noise) * bell(rng.bits());
  }
  return table;
}

std::size_t noise_offset(std::uint64_t token_key, std::size_t layer) {
  return mix64(~token_key + layer) % k_noise_period;
}

void score_experts(std::span<const float> h, std::span<const float> vectors,
                   std::span<const float> base, const float* noise, std::span<float> scores) {
  const std::size_t d = h.size();
  for (std::size_t first = 0; first < scores.size(); first += k_score_block) {
    const float* v = vectors.data() + first * d;
    Four sum0 = load_four(base.data() + first) + load_four(noise + first);
    Four sum1 = load_four(base.data() + first + 4) + load_four(noise + first + 4);
    Four sum2 = load_four(base.data() + first + 8) + load_four(noise + first + 8);
    Four sum3 = load_four(base.data() + first + 12) + load_four(noise + first + 12);
    for (std::size_t i = 0; i < d; ++i, v += k_score_block) {
      const Four factor{h[i], h[i], h[i], h[i]};
      sum0 += factor * load_four(v);
      sum1 += factor * load_four(v + 4);
      sum2 += factor * load_four(v + 8);
      sum3 += factor * load_four(v + 12);
    }
    std::memcpy(scores.data() + first, &sum0, sizeof(sum0));
    std::memcpy(scores.data() + first + 4, &sum1, sizeof(sum1));
    std::memcpy(scores.data() + first + 8, &sum2, sizeof(sum2));
    std::memcpy(scores.data() + first + 12, &sum3, sizeof(sum3));
  }
}

}  // namespace detail

using namespace detail;

namespace {

// Tokens that a thread takes at a time: their states stay in its cache from layer to layer.
constexpr std::size_t block_tokens = 128;
// Sample for a profile that comes without bias: 2 % of a load of 1/256 at top 8 is sampling error.
constexpr int default_sample = 8192;

void add_columns(const TokenRun& run, const TokenLatents& latents, RoutedTokens& tokens) {
  for (std::size_t i = 0; i < run.size(); ++i) {
    const std::uint32_t position = run.position(i);
    tokens.token_id.push_back(latents.token_id(run.request, position));
    tokens.request.push_back(run.request);
    tokens.position.push_back(position);
    tokens.phase.push_back(run.phase);
  }
}

}  // namespace

RoutingGenerator::RoutingGenerator(GeneratorProfile profile, int threads)
    : profile_(profile.bias_milli.empty() ? calibrated(std::move(profile), default_sample, threads)
                                          : std::move(profile)),
      noise_(noise_table(profile_)) {
  const std::size_t padded = padded_experts(profile_.router);
  for (int l = 0; l < profile_.router.layers; ++l) {
    const auto vectors = expert_vectors(profile_, l);
    vectors_.insert(vectors_.end(), vectors.begin(), vectors.end());
    for (const int bias : profile_.bias_milli[static_cast<std::size_t>(l)]) {
      bias_.push_back(static_cast<float>(bias) / 1000.0F);
    }
    bias_.resize((static_cast<std::size_t>(l) + 1) * padded);
  }
}

std::vector<TokenRun> RoutingGenerator::draw_requests(std::int64_t tokens,
                                                      std::uint64_t seed) const {
  Rng rng = RngStreams(seed).stream("routing/lengths");
  std::vector<TokenRun> runs;
  for (std::uint32_t request = 0; tokens > 0; ++request) {
    const auto length = std::min<std::int64_t>(request_length(profile_, rng.uniform()), tokens);
    runs.push_back({.request = request,
                    .first_position = 0,
                    .count = static_cast<std::uint32_t>(length),
                    .phase = TokenPhase::prefill,
                    .kept = {}});
    tokens -= length;
  }
  return runs;
}

RoutedTokens RoutingGenerator::route(std::span<const TokenRun> runs, std::uint64_t seed,
                                     int threads, ContextStart start) const {
  const TokenLatents latents(profile_, seed);
  const RouterSpec& router = profile_.router;
  RoutedTokens tokens;
  tokens.layers = router.layers;
  tokens.experts = router.experts;
  tokens.top_k = router.top_k;
  tokens.ranked = true;
  std::vector<std::size_t> first_of;
  for (const TokenRun& run : runs) {
    first_of.push_back(tokens.request.size());
    add_columns(run, latents, tokens);
  }
  const std::size_t count = tokens.request.size();
  const std::size_t d = latents.dimensions();
  const std::size_t width = TokenLatents::k_parts * d;
  std::vector<float> parts(count * width);
  parallel_for(runs.size(), threads, [&](std::size_t r) {
    latents.fill(runs[r], start, std::span(parts).subspan(first_of[r] * width, runs[r].size() * width));
  });

  const auto layers = static_cast<std::size_t>(router.layers);
  const auto top_k = static_cast<std::size_t>(router.top_k);
  const std::size_t padded = padded_experts(router);
  tokens.ids.resize(layers * count * top_k);
  parallel_for((count + block_tokens - 1) / block_tokens, threads, [&](std::size_t block) {
    const std::size_t begin = block * block_tokens;
    const std::size_t end = std::min(begin + block_tokens, count);
    ExpertSelector selector(router);
    std::vector<float> own((end - begin) * d);
    std::vector<float> h(d);
    std::vector<float> scores(padded);
    std::vector<std::uint64_t> keys;
    for (std::size_t t = begin; t < end; ++t) {
      keys.push_back(latents.token_key(tokens.request[t], tokens.position[t]));
    }
    for (std::size_t l = 0; l < layers; ++l) {
      const auto vectors = std::span(vectors_).subspan(l * padded * d, padded * d);
      const auto base = std::span(bias_).subspan(l * padded, padded);
      for (std::size_t t = begin; t < end; ++t) {
        const std::uint64_t key = keys[t - begin];
        latents.hidden(std::span(parts).subspan(t * width, width), key, l,
                       std::span(own).subspan((t - begin) * d, d), h);
        score_experts(h, vectors, base, noise_.data() + noise_offset(key, l), scores);
        selector.select(scores, std::span(tokens.ids).subspan((l * count + t) * top_k, top_k));
      }
    }
  });
  return tokens;
}

}  // namespace moesim
