// What a routing trace looks like: load imbalance, locality, affinity, predictability,
// cacheability. README.md defines every statistic.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "workloads/trace/moetrace.h"

namespace moesim {

struct StatisticRow {
  std::string statistic;
  std::string layer;  // model layer, or what it was averaged over ("mean of 26")
  std::string parameter;
  double value = 0.0;
  std::string unit;
};

// Tokens at position 0 (begin of sentence) count nowhere. Rows that a trace is too short for are
// left out. Random batches are drawn from `seed`; the result does not depend on `threads`.
std::vector<StatisticRow> token_statistics(const RoutedTokens& tokens, int first_layer,
                                           std::uint64_t seed = 0, int threads = 1,
                                           const Progress& progress = {});

// The subset that loads alone define: sums over windows, and how windows differ.
std::vector<StatisticRow> load_statistics(const LoadTrace& trace);

// Imbalance (max/mean over experts, mean of layers) by batch size, out of token_statistics' rows.
struct BatchImbalance {
  std::int64_t tokens = 0;
  double consecutive = 0.0;  // tokens of few requests, as in a prefill batch
  double consecutive_p95 = 0.0;
  double random = 0.0;  // tokens of as many requests, as in a decode batch
};
std::vector<BatchImbalance> imbalance_by_batch(const std::vector<StatisticRow>& rows);

}  // namespace moesim
