// The latent state behind routing: what a token's hidden state has of its identity, its request,
// its context and itself. Every draw is a hash of what it belongs to, so that any token of any
// request can be computed alone and by any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "workloads/generator/profile.h"
#include "workloads/generator/token_lanes.h"

namespace moesim::detail {

// Does a run's first token begin new contexts, or go on with those of the tokens before it? Both
// have the same law; only the second makes two runs of one request one text.
enum class ContextStart : std::uint8_t { fresh, continued };

// Approximately standard normal: the sum of four uniforms of 16 bits. Exact in float, so the same
// on every machine.
float bell(std::uint64_t key);

// Running sums of the token ids' popularity, the first of 1 + Zipf rank.
std::vector<double> token_id_law(const GeneratorProfile& profile);

// What a token's vectors are drawn with.
struct TokenState {
  std::uint64_t key = 0;  // identifies the token for further hashing
  std::uint32_t token_id = 0;
  std::array<std::uint64_t, k_components> component_keys{};
  std::array<float, k_components> strengths{};
};

class TokenLatents {
 public:
  // Holds on to `id_law`, the profile's token_id_law.
  TokenLatents(const GeneratorProfile& profile, std::span<const double> id_law, std::uint64_t seed);

  // The states of the wanted tokens of a run.
  void describe(const TokenRun& run, ContextStart start, std::span<TokenState> states) const;

  // The vectors of up to 16 tokens, [part][dimension][lane]; lanes without a token are zero.
  void fill(std::span<const TokenState> states, std::span<float> parts) const;

  // Of one layer; layer 0 begins the own state, which `own_keep` then forgets.
  [[nodiscard]] const HiddenScale& scale(std::size_t layer) const { return scales_[layer]; }
  [[nodiscard]] std::uint64_t own_draws(std::uint64_t token_key, std::size_t layer) const;

  [[nodiscard]] std::size_t dimensions() const { return dimensions_; }

 private:
  // Whether the context of `stream` that was there before this position still is.
  [[nodiscard]] static bool keeps(std::uint64_t stream, std::uint32_t request,
                                  std::uint32_t position, double probability);
  // The position where the context began that goes on before `position`.
  [[nodiscard]] static std::uint32_t began(std::uint64_t stream, std::uint32_t request,
                                           std::uint32_t position, double probability);

  // 0 begins every request, others are 1 + Zipf rank.
  [[nodiscard]] std::uint32_t token_id(std::uint32_t request, std::uint32_t position) const;

  std::size_t dimensions_;
  std::vector<HiddenScale> scales_;
  double token_spread_, request_spread_;
  double context_keep_, fast_keep_;
  std::span<const double> cumulative_;  // of token ids
  std::uint64_t id_key_, request_key_, context_key_, fast_key_, own_key_, token_key_, vector_key_;
};

// A length from the profile's quantiles, u in [0, 1).
std::uint32_t request_length(const GeneratorProfile& profile, double u);

double uniform_of(std::uint64_t key);

}  // namespace moesim::detail
