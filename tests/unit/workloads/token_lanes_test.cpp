#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "sim/core/rng.h"
#include "workloads/generator/latent.h"
#include "workloads/generator/token_lanes.h"

namespace moesim::detail {
namespace {

constexpr std::size_t k_dimensions = 13;

std::vector<float> random_floats(std::size_t count, std::uint64_t seed) {
  Rng rng = RngStreams(seed).stream("test/lanes");
  std::vector<float> values(count);
  for (float& value : values) {
    value = static_cast<float>(rng.normal());
  }
  return values;
}

std::vector<std::uint64_t> random_keys(std::uint64_t seed) {
  Rng rng = RngStreams(seed).stream("test/keys");
  std::vector<std::uint64_t> keys(k_lanes);
  for (auto& key : keys) {
    key = rng.bits();
  }
  return keys;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

const HiddenScale k_scale{.part = {0.7F, 0.3F, 0.4F, 0.5F, 0.1F, 0.2F, -0.3F, 0.6F},
                          .own = 0.25F,
                          .own_keep = 0.92F,
                          .own_new = 0.39F};

}  // namespace

TEST_CASE("lanes draw what one draw after the other would", "[workloads][unit]") {
  const auto* kernels = GENERATE(from_range(all_lane_kernels()));
  CAPTURE(kernels->name);
  const auto keys = random_keys(1);
  const auto strength = random_floats(k_lanes, 2);
  std::vector<float> out(k_dimensions * k_lanes);
  kernels->bells(keys.data(), strength.data(), k_dimensions, out.data());
  std::vector<float> want(out.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t lane = i % k_lanes;
    want[i] = strength[lane] * bell(mix64(keys[lane] + i / k_lanes));
  }
  CHECK(same_bits(out, want));
}

// The equations of README.md, one number at a time, in the order that is promised.
TEST_CASE("hidden states are the same bits on every machine", "[workloads][unit]") {
  const auto* kernels = GENERATE(from_range(all_lane_kernels()));
  CAPTURE(kernels->name);
  const auto parts = random_floats(k_parts * k_dimensions * k_lanes, 3);
  const auto draws = random_keys(4);
  auto own = random_floats(k_dimensions * k_lanes, 5);
  auto want_own = own;
  std::vector<float> h(own.size());
  kernels->hidden(k_scale, parts.data(), draws.data(), k_dimensions, own.data(), h.data());
  std::vector<float> want(own.size());
  for (std::size_t lane = 0; lane < k_lanes; ++lane) {
    float square = 0.0F;
    for (std::size_t i = 0; i < k_dimensions; ++i) {
      const std::size_t at = i * k_lanes + lane;
      want_own[at] =
          k_scale.own_keep * want_own[at] + k_scale.own_new * bell(mix64(draws[lane] + i));
      float sum = k_scale.own * want_own[at];
      for (std::size_t part = 0; part < k_parts; ++part) {
        sum += k_scale.part[part] * parts[part * own.size() + at];
      }
      want[at] = sum;
      square += sum * sum;
    }
    for (std::size_t i = 0; i < k_dimensions; ++i) {
      want[i * k_lanes + lane] *= 1.0F / std::sqrt(square);
    }
  }
  CHECK(same_bits(own, want_own));
  CHECK(same_bits(h, want));
}

TEST_CASE("scores are the same bits on every machine", "[workloads][unit]") {
  const auto* kernels = GENERATE(from_range(all_lane_kernels()));
  const std::size_t padded = GENERATE(16U, 48U, 256U);
  const std::size_t tokens = GENERATE(1U, 7U, 16U);
  CAPTURE(kernels->name, padded, tokens);
  const auto h = random_floats(k_dimensions * k_lanes, 6);
  const auto vectors = random_floats(k_dimensions * padded, 7);
  const auto base = random_floats(padded, 8);
  const auto noise = random_floats(padded + k_lanes, 9);
  std::vector<const float*> windows(k_lanes);
  for (std::size_t lane = 0; lane < k_lanes; ++lane) {
    windows[lane] = &noise[lane];
  }
  std::vector<float> scores(k_lanes * padded);
  kernels->scores(h.data(), k_dimensions, vectors.data(), base.data(), windows.data(), padded,
                  tokens, scores.data());
  std::vector<float> want(tokens * padded);
  for (std::size_t at = 0; at < want.size(); ++at) {
    const std::size_t lane = at / padded;
    const std::size_t e = at % padded;
    float sum = base[e] + noise[lane + e];
    for (std::size_t i = 0; i < k_dimensions; ++i) {
      sum += h[i * k_lanes + lane] * vectors[(e / 16 * k_dimensions + i) * 16 + e % 16];
    }
    want[at] = sum;
  }
  scores.resize(want.size());
  CHECK(same_bits(scores, want));
}

}  // namespace moesim::detail
