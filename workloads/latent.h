// The latent state behind routing: what a token's hidden state has of its identity, its request,
// its context and itself. Every draw is a hash of what it belongs to, so that any token of any
// request can be computed alone and by any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "workloads/profile.h"

namespace moesim::detail {

// Does a run's first token begin new contexts, or go on with those of the tokens before it? Both have
// the same law; only the second makes two runs of one request one text.
enum class ContextStart : std::uint8_t { fresh, continued };

// Approximately standard normal: the sum of four uniforms of 16 bits. Exact in float, so the same
// on every machine.
float bell(std::uint64_t key);

class TokenLatents {
 public:
  TokenLatents(const GeneratorProfile& profile, std::uint64_t seed);

  // 0 begins every request, others are 1 + Zipf rank.
  [[nodiscard]] std::uint32_t token_id(std::uint32_t request, std::uint32_t position) const;
  // Identifies a token for further hashing.
  [[nodiscard]] std::uint64_t token_key(std::uint32_t request, std::uint32_t position) const;

  // For each wanted token of a run: the vectors of token, request, context and fast context as they
  // are in the first layer, then as in the last; `dimensions` floats each, scaled by the strength
  // of token id and request.
  void fill(const TokenRun& run, ContextStart start, std::span<float> parts) const;

  // h of one token in successive layers, from layer 0 on: `own` is the token's own state, which
  // this advances. |h| = 1.
  void hidden(std::span<const float> parts, std::uint64_t key, std::size_t layer,
              std::span<float> own, std::span<float> h) const;

  static constexpr std::size_t k_components = 4;
  static constexpr std::size_t k_parts = 2 * k_components;
  [[nodiscard]] std::size_t dimensions() const { return dimensions_; }

 private:
  // Whether the context of `stream` that was there before this position still is.
  [[nodiscard]] static bool keeps(std::uint64_t stream, std::uint32_t request,
                                  std::uint32_t position, double probability);
  // The position where the context began that goes on before `position`.
  [[nodiscard]] static std::uint32_t began(std::uint64_t stream, std::uint32_t request,
                                           std::uint32_t position, double probability);

  // Weights of a token's parts and of its own state in one layer.
  struct LayerScale {
    std::array<float, k_parts> part;
    float own;
  };

  std::size_t dimensions_;
  std::vector<LayerScale> scales_;
  double token_spread_, request_spread_;
  double context_keep_, fast_keep_;
  float own_keep_, own_new_;
  std::vector<double> cumulative_;  // of token ids
  std::uint64_t id_key_, request_key_, context_key_, fast_key_, own_key_, token_key_, vector_key_;
};

// A length from the profile's quantiles, u in [0, 1).
std::uint32_t request_length(const GeneratorProfile& profile, double u);

double uniform_of(std::uint64_t key);

}  // namespace moesim::detail
