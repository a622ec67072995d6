// Routes the tokens of an imagined model: latent states against the experts' vectors.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "workloads/latent.h"
#include "workloads/moetrace.h"
#include "workloads/profile.h"

namespace moesim {

class RoutingGenerator {
 public:
  // A profile without bias is calibrated first (a second or two; see `calibrated`).
  RoutingGenerator(GeneratorProfile profile, int threads);

  [[nodiscard]] const GeneratorProfile& profile() const { return profile_; }

  // Tokens of the runs, in order. Pure; the same for any number of threads. `start`: is each run a
  // text of its own, or a part of its request?
  [[nodiscard]] RoutedTokens route(std::span<const TokenRun> runs, std::uint64_t seed, int threads,
                                   detail::ContextStart start = detail::ContextStart::fresh) const;

  // Whole requests with the profile's lengths until there are `tokens` (the last one is cut).
  [[nodiscard]] std::vector<TokenRun> draw_requests(std::int64_t tokens,
                                                            std::uint64_t seed) const;

 private:
  GeneratorProfile profile_;
  std::vector<float> vectors_;  // [layer] of detail::expert_vectors
  std::vector<float> bias_;     // [layer][padded expert]
  std::vector<float> noise_;
};

namespace detail {

// Experts are handled in blocks of 16: four SSE registers, of which the last block is padded.
inline constexpr std::size_t k_score_block = 16;
std::size_t padded_experts(const RouterSpec& router);

// The vectors of one layer's experts, |v|^2 = dimensions: [block][dimension][16].
std::vector<float> expert_vectors(const GeneratorProfile& profile, int layer);

// Router noise is a window of this table at a place that the token's and layer's hash chooses:
// two (token, layer) see the same noise for the same expert only if they hash to one of 65,536.
inline constexpr std::size_t k_noise_period = 65536;
std::vector<float> noise_table(const GeneratorProfile& profile);
std::size_t noise_offset(std::uint64_t token_key, std::size_t layer);

// scores[e] = base[e] + noise[e] + sum over i of h[i] * v[i][e], the sum in the order of i: no
// rounding depends on how the compiler vectorises it.
void score_experts(std::span<const float> h, std::span<const float> vectors,
                   std::span<const float> base, const float* noise, std::span<float> scores);

}  // namespace detail
}  // namespace moesim
