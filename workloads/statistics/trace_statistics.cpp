#include "workloads/statistics/trace_statistics.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "sim/core/error.h"
#include "workloads/statistics/statistics_parts.h"

namespace moesim {
namespace detail {

StatisticsInput prepare_statistics(const RoutedTokens& tokens, int first_layer, std::uint64_t seed,
                                   int threads) {
  StatisticsInput input{.tokens = tokens,
                        .first_layer = first_layer,
                        .segments = {},
                        .segment_of = {},
                        .counted = {},
                        .kept = {},
                        .masks = ExpertMasks(tokens),
                        .streams = RngStreams(seed),
                        .threads = threads};
  for (std::size_t t = 0; t < tokens.request.size(); ++t) {
    if (t == 0 || tokens.request[t] != tokens.request[t - 1] ||
        tokens.position[t] <= tokens.position[t - 1]) {
      input.segments.push_back({.first = t, .tokens = 0});
    }
    ++input.segments.back().tokens;
    input.segment_of.push_back(static_cast<std::uint32_t>(input.segments.size() - 1));
    const bool counted = tokens.position[t] != 0;
    input.counted.push_back(counted ? 1 : 0);
    if (counted) {
      input.kept.push_back(static_cast<std::uint32_t>(t));
    }
  }
  return input;
}

}  // namespace detail

namespace {

using namespace detail;

void add_load_rows(const StatisticsInput& input, Rows& rows) {
  for (std::size_t l = 0; l < input.layers(); ++l) {
    add_layer_load_rows(input.layer_name(l), input.loads(l, input.kept), rows);
  }
}

}  // namespace

std::vector<StatisticRow> token_statistics(const RoutedTokens& tokens, int first_layer,
                                           std::uint64_t seed, int threads,
                                           const Progress& progress) {
  constexpr std::size_t token_limit = std::size_t{1} << 31;
  ensure(tokens.request.size() < token_limit, "statistics index tokens with 32 bits");
  const StatisticsInput input = prepare_statistics(tokens, first_layer, seed, threads);
  using Part = void (*)(const StatisticsInput&, Rows&);
  constexpr std::array<Part, 8> parts = {add_load_rows,    add_batch_rows,    add_rank_rows,
                                         add_overlap_rows, add_affinity_rows, add_prediction_rows,
                                         add_request_rows, add_cache_rows};
  Rows rows;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    parts[i](input, rows);
    if (progress) {
      progress(static_cast<double>(i + 1) / static_cast<double>(parts.size()));
    }
  }
  return rows;
}

std::vector<StatisticRow> load_statistics(const LoadTrace& trace) {
  const auto layers = static_cast<std::size_t>(trace.shape.layers);
  const auto experts = static_cast<std::size_t>(trace.shape.experts);
  Rows rows;
  double drift = 0.0;
  for (std::size_t l = 0; l < layers; ++l) {
    std::vector<double> total(experts);
    for (const LoadWindow& window : trace.windows) {
      for (std::size_t e = 0; e < experts; ++e) {
        total[e] += window.counts[l * experts + e];
      }
    }
    add_layer_load_rows(std::to_string(static_cast<std::size_t>(trace.metadata.first_layer) + l),
                        total, rows);
    double sum = 0.0;
    for (const double load : total) {
      sum += load;
    }
    for (const LoadWindow& window : trace.windows) {
      const auto slots = static_cast<double>(window.tokens) * trace.shape.top_k;
      for (std::size_t e = 0; slots > 0.0 && sum > 0.0 && e < experts; ++e) {
        drift += 0.5 * std::abs(window.counts[l * experts + e] / slots - total[e] / sum);
      }
    }
  }
  if (trace.windows.size() > 1) {
    rows.push_back({"window_load_tv_distance", "mean of " + std::to_string(layers),
                    "windows vs their sum",
                    drift / static_cast<double>(layers * trace.windows.size()), "fraction"});
  }
  return rows;
}

std::vector<BatchImbalance> imbalance_by_batch(const std::vector<StatisticRow>& rows) {
  std::vector<BatchImbalance> table;
  for (const StatisticRow& row : rows) {
    if (!row.statistic.starts_with("batch_load_max_over_mean")) {
      continue;
    }
    std::int64_t tokens = 0;
    std::from_chars(row.parameter.data(), row.parameter.data() + row.parameter.size(), tokens);
    if (table.empty() || table.back().tokens != tokens) {
      table.push_back({.tokens = tokens});
    }
    BatchImbalance& line = table.back();
    if (row.statistic.ends_with("_p95")) {
      line.consecutive_p95 = row.value;
    } else if (row.parameter.ends_with("at random")) {
      line.random = row.value;
    } else {
      line.consecutive = row.value;
    }
  }
  return table;
}

}  // namespace moesim
