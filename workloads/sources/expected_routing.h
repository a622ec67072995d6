// Expected routing: what a batch does to experts, without drawing its tokens.
//
// Use:
//   const auto statistics = source.statistics(threads);  // once per source, shared, 0.1 s of CPU
//   const ExpectedBatch batch(*statistics, sources);     // once per batch composition
//   for every layer: batch.counts(layer, count);         // no token loop
//   if the algorithm needs distinct destinations:
//     statistics->reach(layer, destination_of_expert, destinations, part, parts)
//
// Counts are one deterministic, whole-numbered realisation per layer: the sum is exact, the spread
// over experts is that of drawn batches (jointly: experts that are chosen together rise together),
// and which expert is busiest differs from layer to layer while popular experts stay popular. A
// layer's realisation depends on (statistics, composition, layer) alone. README.md has its bias.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "workloads/sources/routing.h"

namespace moesim {

// `sequences` sequences of a source rank that have `tokens` consecutive new tokens each. Decode:
// {requests, 1}; four prompts of 4,096 tokens: {4, 4096}; chunks of prompts likewise.
struct SourceSequences {
  std::int64_t sequences = 0;
  std::int64_t tokens = 1;
};

// The tokens of one source rank; none: it idles.
using SourceTokens = std::vector<SourceSequences>;

// For a placement: of one token, the mean number of picks that each destination serves, and the
// probability that it serves at least one (so that sums over destinations are the mean number of
// picks and of distinct destinations).
struct Reach {
  std::vector<double> picks;   // [destination]
  std::vector<double> tokens;  // [destination], <= picks
};

// What statistics are made from.
struct RoutingReference {
  RouterSpec router;
  std::vector<double> shares;  // [layer][expert], each layer's sum is 1
  // Tokens in the order of their sequences (column `request`), some of them near and some far from
  // each other within it (column `position`); as many in every sequence.
  RoutedTokens tokens;
  int tokens_per_sequence = 1;
  bool exact = false;  // counts are their mean: what balanced routing does
  std::string description;
};

// Of one routing source. Immutable.
class RoutingStatistics {
 public:
  // The same for any number of threads. Throws ConfigError unless there are at least 64 tokens.
  RoutingStatistics(RoutingReference reference, int threads);

  [[nodiscard]] const RouterSpec& router() const { return router_; }

  // Shares of a layer's picks that its experts get in the long run; they sum to 1.
  [[nodiscard]] std::span<const double> shares(int layer) const;

  // Reference tokens; their picks are ids [token][k] of a layer. k_no_expert for fewer picks.
  [[nodiscard]] int reference_tokens() const { return reference_tokens_; }
  [[nodiscard]] std::span<const std::uint16_t> reference_picks(int layer) const;

  // Reach of tokens whose pick of expert e is served by destination_of_expert[e] (a rank, a node,
  // ...; negative: nowhere, as zero-cost experts), 0 <= destination < destinations. Source ranks
  // that choose other replicas ask with another list. Looks at the reference tokens part, part +
  // parts, ... only: with one part per source class all are used and the time stays the same.
  //
  // The realised number of tokens that reach a destination from a source is best taken as
  //   copies(destination, source) * tokens[destination] / picks[destination]
  // with copies from ExpectedBatch::counts, which keeps 0 <= tokens <= copies and the spread.
  [[nodiscard]] Reach reach(int layer, std::span<const std::int32_t> destination_of_expert,
                            int destinations, int part = 0, int parts = 1) const;

  // How much wider than of independent tokens the counts of a run of consecutive tokens scatter:
  // variance of a run's count / variance of as many independent tokens' count, mean over experts.
  [[nodiscard]] double overdispersion(int layer, std::int64_t run) const;
  // The same without what the whole sequence has in common.
  [[nodiscard]] double token_overdispersion(int layer, std::int64_t run) const;

  // What is to be known of how these were had; for provenance.
  [[nodiscard]] const std::string& describe() const { return description_; }

 private:
  friend class ExpectedBatch;

  // Excess correlation of two picks is looked at up to this distance; beyond, only what the whole
  // sequence has in common is left.
  static constexpr std::size_t k_lags = 64;
  static constexpr std::size_t k_draws = 4096;

  void describe_layer(const RoutingReference& reference, std::size_t layer);
  void measure_correlations(const RoutingReference& reference, int threads);

  RouterSpec router_;
  int reference_tokens_ = 0;
  int tokens_per_sequence_ = 1;
  bool exact_ = false;
  std::string description_;
  std::vector<double> shares_;           // [layer][expert]
  std::vector<std::uint16_t> by_share_;  // [layer]: experts, most popular first
  std::vector<std::uint16_t> picks_;     // [layer][reference token][k]
  // Deviations of the counts from their mean, one joint realisation per layer, in units of the
  // square root of tokens (of independent tokens) and of tokens (what a whole sequence has in
  // common).
  std::vector<float> token_deviation_;     // [layer][expert]
  std::vector<float> sequence_deviation_;  // [layer][expert]
  std::vector<double> common_;             // [layer]: correlation of two picks that are far apart
  // Running sums over distances 1, 2, ... of the excess correlation, and of distance x it.
  std::vector<double> excess_;           // [layer][k_lags]
  std::vector<double> excess_distance_;  // [layer][k_lags]
  std::vector<float> draws_;             // standard normal, for the scatter over sources
};

class ExpectedBatch {
 public:
  // Throws ConfigError for negative numbers or more than 2^31 picks per layer. Holds on to
  // `statistics`.
  ExpectedBatch(const RoutingStatistics& statistics, std::span<const SourceTokens> sources);

  [[nodiscard]] int sources() const { return static_cast<int>(tokens_of_.size()); }
  [[nodiscard]] std::int64_t tokens() const { return tokens_; }
  [[nodiscard]] std::int64_t tokens_of(int source) const {
    return tokens_of_[static_cast<std::size_t>(source)];
  }

  // Picks of a layer, [expert * sources + source], experts of the router (zero-cost ones included).
  // Over the experts of a source they sum to tokens_of(source) * top_k, and none is above
  // tokens_of(source). Reuses the memory of `count`. Pure; may be called by several threads.
  void counts(int layer, std::vector<std::int32_t>& count) const;

  // So few tokens that counts are those of reference tokens, drawn for the layer: then tokens() *
  // top_k ids of them, source by source, for whoever wants to count distinct destinations exactly.
  // Else empty.
  [[nodiscard]] bool few() const { return few_; }
  [[nodiscard]] std::vector<std::uint16_t> picks(int layer) const;

 private:
  // In turn: totals of the experts, the sources' parts of them, and these parts' scatter.
  // Reference tokens for the batch's sequences, from the `start`-th sequence on.
  [[nodiscard]] std::vector<std::uint16_t> picks_from(int layer, std::uint64_t start) const;
  // What the sum over experts of their squared counts is in the mean.
  [[nodiscard]] double mean_square(int layer) const;

  void realise(int layer, std::span<std::int32_t> totals) const;
  void deal(int layer, std::span<const std::int32_t> totals, std::span<std::int32_t> count) const;
  void scatter(int layer, std::span<std::int32_t> count) const;

  const RoutingStatistics* statistics_;
  std::vector<std::int64_t> tokens_of_;  // [source]
  std::int64_t tokens_ = 0;
  bool few_ = false;
  bool even_ = false;                     // all sources have as many tokens
  std::vector<SourceSequences> classes_;  // of all sources, equal lengths joined
  std::vector<SourceTokens> runs_;        // few: as given
  std::vector<std::int32_t> order_;       // uneven: the sources in the order of dealing, a cycle
};

}  // namespace moesim
