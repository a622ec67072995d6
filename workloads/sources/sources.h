// The implementations behind make_routing_source.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "workloads/generator/generator.h"
#include "workloads/sources/routing.h"
#include "workloads/trace/moetrace.h"

namespace moesim::detail {

std::unique_ptr<RoutingSource> make_balanced_source(const RouterSpec& router);

// Tokens, layers and choices independent; weights[layer][expert] >= 0.
std::unique_ptr<RoutingSource> make_iid_source(const RouterSpec& router,
                                               std::vector<std::vector<double>> weights,
                                               std::string description, const std::string& where);
std::unique_ptr<RoutingSource> make_power_law_source(const RouterSpec& router, double exponent,
                                                     const std::string& where);

std::unique_ptr<RoutingSource> make_generator_source(const RouterSpec& router,
                                                     GeneratorProfile profile,
                                                     const std::string& where);
// `range`: which of the trace's requests, as shares of their number.
struct TraceRange {
  double from = 0.0;
  double to = 1.0;
};
std::unique_ptr<RoutingSource> make_replay_source(const RouterSpec& router, const std::string& path,
                                                  TraceRange range, const std::string& where);

// Throws ConfigError unless ranks, tokens and so on make sense.
void check_shape(const BatchShape& shape);

// Throws ConfigError unless route() can number these tokens.
void check_runs(std::span<const TokenRun> runs);

// Sequences whose tokens tell a source's statistics: k_reference_tokens_each of each.
inline constexpr std::uint32_t k_reference_sequences = 512;
inline constexpr int k_reference_tokens_each = 4;
inline constexpr std::uint64_t k_reference_seed = 0x7265666572656e63ULL;
std::vector<TokenRun> reference_runs();

// Tokens of a generated batch: whole prompts rank by rank, or one decode token of each request.
std::vector<TokenRun> batch_runs(const BatchShape& shape);

// The columns of the runs' tokens (token ids 0); expert ids sized but not filled.
RoutedTokens empty_tokens(const RouterSpec& router, std::span<const TokenRun> runs);
// The same of a batch, with its weight.
RoutedTokens empty_batch(const RouterSpec& router, const BatchShape& shape);

}  // namespace moesim::detail
