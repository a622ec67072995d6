#include "workloads/generator/generator.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "sim/core/thread_pool.h"

namespace moesim {
namespace detail {
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

LaneChooser::LaneChooser(const RouterSpec& router)
    : top_k_(static_cast<std::size_t>(router.top_k)),
      padded_(padded_experts(router)),
      selector_(router),
      scores_(k_lanes * padded_) {}

void LaneChooser::choose(std::size_t layer, std::span<const float> h,
                         std::span<const std::uint64_t> token_keys, std::span<const float> vectors,
                         std::span<const float> base, std::span<const float> noise,
                         std::uint16_t* ids) {
  std::array<const float*, k_lanes> windows;
  windows.fill(noise.data());
  for (std::size_t lane = 0; lane < token_keys.size(); ++lane) {
    windows[lane] += noise_offset(token_keys[lane], layer);
  }
  lane_kernels().scores(h.data(), h.size() / k_lanes, vectors.data(), base.data(), windows.data(),
                        padded_, token_keys.size(), scores_.data());
  for (std::size_t lane = 0; lane < token_keys.size(); ++lane) {
    selector_.select(std::span(scores_).subspan(lane * padded_, padded_),
                     std::span(ids + lane * top_k_, top_k_));
  }
}

}  // namespace detail

using namespace detail;

namespace {

// Tokens that a thread takes at a time: their states stay in its cache from layer to layer.
constexpr std::size_t block_tokens = 128;
// Sample for a profile that comes without bias: 2 % of a load of 1/256 at top 8 is sampling error.
constexpr int default_sample = 8192;

void size_columns(RoutedTokens& tokens, std::size_t count) {
  tokens.token_id.resize(count);
  tokens.request.resize(count);
  tokens.position.resize(count);
  tokens.phase.resize(count);
  tokens.ids.resize(static_cast<std::size_t>(tokens.layers) * count *
                    static_cast<std::size_t>(tokens.top_k));
}

}  // namespace

RoutingGenerator::RoutingGenerator(GeneratorProfile profile, int threads)
    : profile_(profile.bias_milli.empty() ? calibrated(std::move(profile), default_sample, threads)
                                          : std::move(profile)),
      id_law_(token_id_law(profile_)),
      noise_(noise_table(profile_)) {
  const std::size_t padded = padded_experts(profile_.router);
  const auto layers = static_cast<std::size_t>(profile_.router.layers);
  const std::size_t width = padded * static_cast<std::size_t>(profile_.dimensions);
  vectors_.resize(layers * width);
  bias_.resize(layers * padded);
  parallel_for(layers, threads, [&](std::size_t l) {
    std::ranges::copy(expert_vectors(profile_, static_cast<int>(l)),
                      vectors_.begin() + static_cast<std::ptrdiff_t>(l * width));
    std::ranges::transform(profile_.bias_milli[l],
                           bias_.begin() + static_cast<std::ptrdiff_t>(l * padded),
                           [](int bias) { return static_cast<float>(bias) / 1000.0F; });
  });
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
  const TokenLatents latents(profile_, id_law_, seed);
  const RouterSpec& router = profile_.router;
  RoutedTokens tokens;
  tokens.layers = router.layers;
  tokens.experts = router.experts;
  tokens.top_k = router.top_k;
  tokens.ranked = true;
  std::vector<std::size_t> first_of;
  std::size_t count = 0;
  for (const TokenRun& run : runs) {
    first_of.push_back(count);
    count += run.size();
  }
  size_columns(tokens, count);
  std::vector<TokenState> states(count);
  parallel_for(runs.size(), threads, [&](std::size_t r) {
    const TokenRun& run = runs[r];
    latents.describe(run, start, std::span(states).subspan(first_of[r], run.size()));
    for (std::size_t i = 0; i < run.size(); ++i) {
      const std::size_t t = first_of[r] + i;
      tokens.token_id[t] = states[t].token_id;
      tokens.request[t] = run.request;
      tokens.position[t] = run.position(i);
      tokens.phase[t] = run.phase;
    }
  });
  parallel_for((count + block_tokens - 1) / block_tokens, threads, [&](std::size_t block) {
    const std::size_t begin = block * block_tokens;
    route_block(std::span(states).subspan(begin, std::min(block_tokens, count - begin)), begin,
                latents, tokens);
  });
  return tokens;
}

void RoutingGenerator::route_block(std::span<const TokenState> states, std::size_t begin,
                                   const TokenLatents& latents, RoutedTokens& tokens) const {
  const RouterSpec& router = profile_.router;
  const std::size_t d = latents.dimensions();
  const std::size_t padded = padded_experts(router);
  const auto top_k = static_cast<std::size_t>(router.top_k);
  const std::size_t count = tokens.request.size();
  const std::size_t groups = (states.size() + k_lanes - 1) / k_lanes;
  const std::size_t width = k_parts * d * k_lanes;
  const auto group_of = [&](std::size_t g) {
    return states.subspan(g * k_lanes, std::min(k_lanes, states.size() - g * k_lanes));
  };
  std::vector<float> parts(groups * width);
  for (std::size_t g = 0; g < groups; ++g) {
    latents.fill(group_of(g), std::span(parts).subspan(g * width, width));
  }
  std::vector<float> own(groups * d * k_lanes);
  std::vector<float> h(d * k_lanes);
  LaneChooser chooser(router);
  for (std::size_t l = 0; l < static_cast<std::size_t>(router.layers); ++l) {
    const auto vectors = std::span(vectors_).subspan(l * padded * d, padded * d);
    const auto base = std::span(bias_).subspan(l * padded, padded);
    for (std::size_t g = 0; g < groups; ++g) {
      const auto group = group_of(g);
      std::array<std::uint64_t, k_lanes> keys{};
      std::array<std::uint64_t, k_lanes> draws{};
      for (std::size_t lane = 0; lane < group.size(); ++lane) {
        keys[lane] = group[lane].key;
        draws[lane] = latents.own_draws(group[lane].key, l);
      }
      lane_kernels().hidden(latents.scale(l), &parts[g * width], draws.data(), d,
                            &own[g * d * k_lanes], h.data());
      chooser.choose(l, h, std::span(keys).first(group.size()), vectors, base, noise_,
                     &tokens.ids[(l * count + begin + g * k_lanes) * top_k]);
    }
  }
}

}  // namespace moesim
