// Routed tokens: which token of which request goes to which experts, in every layer.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace moesim {

enum class TokenPhase : std::uint8_t { prefill = 0, decode = 1 };

// Routers may choose fewer than top_k experts for a token (top-p, null experts, dropped tokens):
// such a token's remaining places, its last ones, hold this id. Nobody's id, since experts <=
// 65,535; whoever counts picks passes over it. No source of today writes it, and .moetrace 1 cannot
// hold it.
inline constexpr std::uint16_t k_no_expert = 0xFFFF;

// Tokens with identity and their full layer path. Expert ids are model-wide per layer:
// 0..experts-1, zero-cost experts (if the model has any) after the FFN experts, or k_no_expert.
struct RoutedTokens {
  int layers = 0;                  // MoE layers only
  int experts = 0;                 // selectable experts per layer, zero-cost ones included
  int top_k = 0;                   // places per token; the most experts it may have
  bool ranked = false;             // is k ordered by gate score, best first?
  std::vector<std::uint16_t> ids;  // [layer][token][k]
  std::vector<float> weights;      // same order; empty when unknown
  std::vector<std::uint32_t> token_id;
  std::vector<std::uint32_t> request;
  std::vector<std::uint32_t> position;
  std::vector<TokenPhase> phase;
  // How many real tokens each of these stands for (above 1 after sub-sampling).
  double token_weight = 1.0;

  [[nodiscard]] std::int64_t tokens() const { return static_cast<std::int64_t>(request.size()); }
  // The experts of one layer, tokens() * top_k ids.
  [[nodiscard]] std::span<const std::uint16_t> layer(int l) const {
    const auto size = request.size() * static_cast<std::size_t>(top_k);
    return std::span(ids).subspan(static_cast<std::size_t>(l) * size, size);
  }
};

// Consecutive tokens of one request.
struct TokenRun {
  std::uint32_t request = 0;
  std::uint32_t first_position = 0;  // of the run in its request
  std::uint32_t count = 1;
  TokenPhase phase = TokenPhase::prefill;
  // Offsets in [0, count) of the tokens that are wanted, ascending; empty: all of them.
  std::vector<std::uint32_t> kept;

  [[nodiscard]] std::size_t size() const { return kept.empty() ? count : kept.size(); }
  // Position in its request of the i-th token that is wanted.
  [[nodiscard]] std::uint32_t position(std::size_t i) const {
    return first_position + (kept.empty() ? static_cast<std::uint32_t>(i) : kept[i]);
  }
};

// A uniform step's tokens, rank by rank.
struct BatchShape {
  int ranks = 1;                        // attention data-parallel ranks
  std::int64_t tokens_per_rank = 0;     // decode: one token of each of that many requests
  std::int64_t tokens_per_request = 1;  // prefill: consecutive tokens of one prompt
  std::int64_t context = 0;             // decode: position of the token in its request
  TokenPhase phase = TokenPhase::decode;
  // > 0: route only that many of each rank's tokens, evenly strided (token i stands at
  // floor(i * tokens_per_rank / sample)), and set token_weight = tokens_per_rank / sample. For
  // prefill batches so large that routing every token would cost more than it tells. Ignored when
  // not below tokens_per_rank.
  std::int64_t sample_tokens_per_rank = 0;
  std::uint64_t seed = 0;
  int threads = 1;
};

// tokens_per_rank, or the sample of it that is routed.
std::int64_t routed_per_rank(const BatchShape& shape);
// Where in its rank routed token i stands, 0 <= i < routed_per_rank(shape).
std::int64_t sampled_index(const BatchShape& shape, std::int64_t i);

class RoutingStatistics;
struct RoutingReference;

// Where routing comes from: a generator profile, a trace, a load matrix, or balanced.
class RoutingSource {
 public:
  virtual ~RoutingSource() = default;

  // ranks * routed_per_rank(shape) tokens, rank by rank. Pure: the same shape gives the same tokens
  // for any number of threads. Throws ConfigError for a shape without sense or when the source
  // cannot give such a batch at all.
  [[nodiscard]] virtual RoutedTokens batch(const BatchShape& shape) const = 0;

  // The wanted tokens of the runs, in order, with the requests, positions and phases asked for.
  // Pure: the same runs and seed give the same tokens for any number of threads, and a token is
  // known by (seed, request, position, phase) alone, whatever else is asked for with it: a request
  // goes on from step to step as it would in one batch. (`balanced` is the exception: it deals
  // experts out in the order of the list.) Throws ConfigError for positions beyond 2^31 or more
  // than 2^31 tokens.
  [[nodiscard]] virtual RoutedTokens route(std::span<const TokenRun> runs, std::uint64_t seed,
                                           int threads) const = 0;

  // For expected routing (expected_routing.h). Worked out by the first call, then shared; safe to
  // call from several threads. Throws ConfigError where the source has too little to tell.
  [[nodiscard]] std::shared_ptr<const RoutingStatistics> statistics(int threads) const;

  // For provenance: kind, file or profile, fit source, how tokens were drawn.
  [[nodiscard]] virtual std::string describe() const = 0;

  // What a report should warn of when it used such a batch (a trace that had to be repeated, ...).
  [[nodiscard]] virtual std::vector<std::string> warnings(const BatchShape& shape) const;

 private:
  [[nodiscard]] virtual RoutingReference reference(int threads) const = 0;

  mutable std::once_flag statistics_once_;
  mutable std::shared_ptr<const RoutingStatistics> statistics_;
};

// The model's side of routing, as plain data.
struct RouterSpec {
  int layers = 0;
  int experts = 0;  // selectable, zero-cost ones included
  int top_k = 0;
  int groups = 1;       // expert groups of equal size
  int top_groups = 1;   // groups a token may use (group-limited top-k)
  int per_group_k = 0;  // > 0: exactly that many per group (MoGE)

  friend bool operator==(const RouterSpec&, const RouterSpec&) = default;
};

// Throws ConfigError(where, ...) unless the numbers describe a router (groups divide experts, the
// groups a token may use hold top_k experts, ...).
void check_router(const RouterSpec& router, const std::string& where);

// The path in a spec of make_routing_source: of a trace, or of a profile ("profile:mine.json");
// empty: there is none.
std::string_view routing_path(std::string_view spec);

// `spec`: "balanced" (every expert equally often), "power_law:A" (i.i.d. popularity with exponent
// A), "profile:NAME" (a shipped generator profile, or the path of a .json file), or the path of a
// .moetrace file, if only a part of its requests is wanted followed by their range:
// "F.moetrace[0:0.5]" is the first half. Throws ConfigError(where, ...) when it does not exist or
// does not fit the router.
std::unique_ptr<RoutingSource> make_routing_source(const std::string& spec,
                                                   const RouterSpec& router,
                                                   const std::vector<std::string>& profile_dirs,
                                                   const std::string& where);

}  // namespace moesim
