// Routes the tokens of an imagined model: latent states against the experts' vectors.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "workloads/generator/latent.h"
#include "workloads/generator/profile.h"
#include "workloads/generator/router.h"
#include "workloads/trace/moetrace.h"

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
  [[nodiscard]] std::vector<TokenRun> draw_requests(std::int64_t tokens, std::uint64_t seed) const;

 private:
  // The experts of consecutive tokens, from `begin` on, in all layers.
  void route_block(std::span<const detail::TokenState> states, std::size_t begin,
                   const detail::TokenLatents& latents, RoutedTokens& tokens) const;

  GeneratorProfile profile_;
  std::vector<double> id_law_;
  std::vector<float> vectors_;  // [layer] of detail::expert_vectors
  std::vector<float> bias_;     // [layer][padded expert]
  std::vector<float> noise_;
};

namespace detail {

// Experts are handled in blocks of 16, of which the last is padded.
inline constexpr std::size_t k_score_block = 16;
std::size_t padded_experts(const RouterSpec& router);

// The vectors of one layer's experts, |v|^2 = dimensions: [block][dimension][16].
std::vector<float> expert_vectors(const GeneratorProfile& profile, int layer);

// Router noise is a window of this table at a place that the token's and layer's hash chooses:
// two (token, layer) see the same noise for the same expert only if they hash to one of 65,536.
inline constexpr std::size_t k_noise_period = 65536;
std::vector<float> noise_table(const GeneratorProfile& profile);
std::size_t noise_offset(std::uint64_t token_key, std::size_t layer);

// Chooses the experts of up to 16 tokens. Holds scratch memory: one per thread.
class LaneChooser {
 public:
  explicit LaneChooser(const RouterSpec& router);

  // Writes top_k ids for each of the tokens with these keys and states h[dimension][lane]. vectors
  // and base are the layer's, noise the whole table.
  void choose(std::size_t layer, std::span<const float> h,
              std::span<const std::uint64_t> token_keys, std::span<const float> vectors,
              std::span<const float> base, std::span<const float> noise, std::uint16_t* ids);

 private:
  std::size_t top_k_;
  std::size_t padded_;
  ExpertSelector selector_;
  std::vector<float> scores_;  // [lane][padded expert]
};

}  // namespace detail
}  // namespace moesim
