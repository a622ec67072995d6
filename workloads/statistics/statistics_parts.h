// The parts of token_statistics: each appends its rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sim/core/rng.h"
#include "workloads/generator/expert_masks.h"
#include "workloads/statistics/trace_statistics.h"

namespace moesim::detail {

// A maximal run of tokens of one request.
struct Segment {
  std::size_t first = 0;
  std::size_t tokens = 0;
};

// A trace, prepared.
struct StatisticsInput {
  const RoutedTokens& tokens;
  int first_layer = 0;
  std::vector<Segment> segments;
  std::vector<std::uint32_t> segment_of;  // per token
  std::vector<char> counted;              // per token: not at position 0
  std::vector<std::uint32_t> kept;        // the counted tokens, in order
  ExpertMasks masks;
  RngStreams streams;
  int threads = 1;

  [[nodiscard]] std::size_t layers() const { return static_cast<std::size_t>(tokens.layers); }
  [[nodiscard]] std::size_t experts() const { return static_cast<std::size_t>(tokens.experts); }
  [[nodiscard]] std::size_t top_k() const { return static_cast<std::size_t>(tokens.top_k); }
  [[nodiscard]] std::string mean_of_layers() const {
    return "mean of " + std::to_string(tokens.layers);
  }
  [[nodiscard]] std::string layer_name(std::size_t layer) const {
    return std::to_string(static_cast<std::size_t>(first_layer) + layer);
  }
  [[nodiscard]] std::span<const std::uint16_t> ids(std::size_t layer, std::size_t token) const {
    return tokens.layer(static_cast<int>(layer)).subspan(token * top_k(), top_k());
  }
  // Selections per expert of one layer by some tokens.
  [[nodiscard]] std::vector<double> loads(std::size_t layer,
                                          std::span<const std::uint32_t> some) const;
  // n distinct counted tokens.
  [[nodiscard]] std::vector<std::uint32_t> draw(std::size_t n, Rng& rng) const;
};

using Rows = std::vector<StatisticRow>;

// loads: selections per expert.
void add_layer_load_rows(const std::string& layer, std::span<const double> loads, Rows& rows);

void add_batch_rows(const StatisticsInput& input, Rows& rows);
void add_rank_rows(const StatisticsInput& input, Rows& rows);
void add_overlap_rows(const StatisticsInput& input, Rows& rows);
void add_affinity_rows(const StatisticsInput& input, Rows& rows);
void add_prediction_rows(const StatisticsInput& input, Rows& rows);
void add_request_rows(const StatisticsInput& input, Rows& rows);
void add_cache_rows(const StatisticsInput& input, Rows& rows);

double mean(std::span<const double> values);

StatisticsInput prepare_statistics(const RoutedTokens& tokens, int first_layer, std::uint64_t seed,
                                   int threads);

// Per layer, for fitting: mean overlap at a lag, of random pairs, recall of a token-id table, share
// of the most popular experts. Empty where the trace is too short.
std::vector<double> overlap_at(const StatisticsInput& input, std::size_t lag);
std::vector<double> random_overlap(const StatisticsInput& input);
std::vector<double> token_recall_by_layer(const StatisticsInput& input);
std::vector<double> popularity_recall_by_layer(const StatisticsInput& input);

}  // namespace moesim::detail
