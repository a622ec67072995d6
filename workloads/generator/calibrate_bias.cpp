// The router bias that gives every expert its target load: damped Newton steps on the logarithm of
// the loads, on one fixed sample of independent tokens.
#include <algorithm>
#include <array>
#include <cmath>

#include "sim/core/error.h"
#include "sim/core/thread_pool.h"
#include "workloads/generator/generator.h"

namespace moesim {
namespace {

using namespace detail;

constexpr int rounds = 24;
// d log(load) / d bias of a top-k choice among normal scores is the normal hazard at its threshold,
// 1.7 to 2.3 for the sparsities in use; the reciprocal is a Newton step.
constexpr double first_step = 0.45;
constexpr std::uint64_t sample_seed = 0x5eed;

// Hidden states of the sample, [layer][group of 16 tokens][dimension][lane].
struct Sample {
  std::size_t tokens = 0;
  std::vector<std::uint64_t> keys;
  std::vector<float> hidden;

  [[nodiscard]] std::size_t groups() const { return (tokens + k_lanes - 1) / k_lanes; }
};

Sample draw_sample(const GeneratorProfile& profile, std::size_t count, int threads) {
  const auto id_law = token_id_law(profile);
  const TokenLatents latents(profile, id_law, sample_seed);
  const std::size_t width = latents.dimensions() * k_lanes;
  const auto layers = static_cast<std::size_t>(profile.router.layers);
  Sample sample{.tokens = count, .keys = std::vector<std::uint64_t>(count), .hidden = {}};
  sample.hidden.resize(layers * sample.groups() * width);
  parallel_for(sample.groups(), threads, [&](std::size_t g) {
    std::array<TokenState, k_lanes> states;
    const std::size_t first = g * k_lanes;
    const std::size_t size = std::min(k_lanes, count - first);
    for (std::size_t lane = 0; lane < size; ++lane) {
      const TokenRun run{
          .request = static_cast<std::uint32_t>(first + lane), .first_position = 1, .kept = {}};
      latents.describe(run, ContextStart::fresh, std::span(states).subspan(lane, 1));
      sample.keys[first + lane] = states[lane].key;
    }
    std::vector<float> parts(k_parts * width);
    std::vector<float> own(width);
    latents.fill(std::span(states).first(size), parts);
    std::array<std::uint64_t, k_lanes> draws{};
    for (std::size_t l = 0; l < layers; ++l) {
      for (std::size_t lane = 0; lane < size; ++lane) {
        draws[lane] = latents.own_draws(states[lane].key, l);
      }
      lane_kernels().hidden(latents.scale(l), parts.data(), draws.data(), latents.dimensions(),
                            own.data(), &sample.hidden[(l * sample.groups() + g) * width]);
    }
  });
  return sample;
}

std::vector<double> loads_with(const GeneratorProfile& profile, const Sample& sample,
                               std::size_t layer, std::span<const float> vectors,
                               std::span<const float> base, std::span<const float> noise) {
  const std::size_t width = static_cast<std::size_t>(profile.dimensions) * k_lanes;
  const auto top_k = static_cast<std::size_t>(profile.router.top_k);
  LaneChooser chooser(profile.router);
  std::vector<std::uint16_t> ids(k_lanes * top_k);
  std::vector<double> loads(static_cast<std::size_t>(profile.router.experts));
  for (std::size_t g = 0; g < sample.groups(); ++g) {
    const std::size_t first = g * k_lanes;
    const std::size_t size = std::min(k_lanes, sample.tokens - first);
    chooser.choose(layer,
                   std::span(sample.hidden).subspan((layer * sample.groups() + g) * width, width),
                   std::span(sample.keys).subspan(first, size), vectors, base, noise, ids.data());
    for (const auto id : std::span(ids).first(size * top_k)) {
      loads[id] += 1.0;
    }
  }
  return loads;
}

std::vector<int> calibrate_layer(const GeneratorProfile& profile, const Sample& sample,
                                 std::size_t layer, std::span<const float> noise) {
  const auto vectors = expert_vectors(profile, static_cast<int>(layer));
  const auto target = target_loads(profile, static_cast<int>(layer));
  const double slots = static_cast<double>(sample.tokens) * profile.router.top_k;
  std::vector<double> bias(target.size());
  std::vector<float> base(padded_experts(profile.router));
  for (int round = 0; round < rounds; ++round) {
    std::ranges::transform(bias, base.begin(),
                           [](double value) { return static_cast<float>(value); });
    const auto loads = loads_with(profile, sample, layer, vectors, base, noise);
    const double step = first_step * (round < rounds / 2 ? 1.0 : 0.5);
    double sum = 0.0;
    for (std::size_t e = 0; e < bias.size(); ++e) {
      const double change = step * std::log((target[e] * slots + 0.5) / (loads[e] + 0.5));
      bias[e] += std::clamp(change, -0.5, 0.5);
      sum += bias[e];
    }
    // Only differences matter; without this the common part would drift.
    for (auto& value : bias) {
      value -= sum / static_cast<double>(bias.size());
    }
  }
  std::vector<int> milli;
  for (const double value : bias) {
    milli.push_back(static_cast<int>(std::lround(value * 1000.0)));
  }
  return milli;
}

}  // namespace

GeneratorProfile calibrated(GeneratorProfile profile, int sample, int threads) {
  ensure(sample > 0, "calibration needs a sample");
  const Sample drawn = draw_sample(profile, static_cast<std::size_t>(sample), threads);
  const auto noise = noise_table(profile);
  profile.bias_milli.assign(static_cast<std::size_t>(profile.router.layers), {});
  parallel_for(profile.bias_milli.size(), threads, [&](std::size_t l) {
    profile.bias_milli[l] = calibrate_layer(profile, drawn, l, noise);
  });
  return profile;
}

}  // namespace moesim
