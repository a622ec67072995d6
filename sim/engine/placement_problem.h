// The placement problem of a scenario: what its tokens load and where they travel, counted on a
// batch of its routing source, with costs in seconds from the kernel model and the links.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "placement/problem.h"
#include "sim/engine/scenario.h"
#include "workloads/sources/expected_routing.h"
#include "workloads/sources/routing.h"

namespace moesim {

// Tokens for statistics: another batch of the same source than any step's, since a placement must
// not see what it is judged on.
std::vector<RoutedTokens> statistics_batch(const RoutingSource& source, const StepBatch& batch,
                                           std::int64_t tokens, std::uint64_t seed, int threads);

// The seed with which the batch is drawn.
std::uint64_t statistics_seed(std::uint64_t seed);

// Enough for the load of the hottest of 256 experts to about 5 %.
inline constexpr std::int64_t k_statistics_tokens = 4096;

// Costs of one MoE layer, for PlacementProblem.
struct PlacementCosts {
  double seconds_per_pair = 0.0;  // slope of the expert kernel's time around the mean load
  double intra_s = 0.0;           // one token copy, there and back, over the device links
  double inter_s = 0.0;           // over the network
  double expert_bytes = 0.0;      // weights of one expert in one layer
  std::string basis;              // where the times come from
};

struct PlacementShape {
  int experts = 0;  // FFN experts
  int units = 0;    // expert-parallel ranks of a group
  int units_per_node = 0;
  int redundant = 0;
};

// Loads [layer][expert] of the tokens, weighted; ids of zero-cost experts are left out.
std::vector<std::vector<double>> load_statistics(std::span<const RoutedTokens> parts, int experts);

// Loads [layer][expert] that so many tokens may be expected to bring, without drawing them.
std::vector<std::vector<double>> expected_loads(const RoutingStatistics& statistics, int experts,
                                                std::int64_t tokens);

// Of loads alone; `step_pairs` as below.
PlacementProblem load_problem(std::vector<std::vector<double>> loads, int top_k,
                              const PlacementShape& shape, const PlacementCosts& costs,
                              double step_pairs, const std::string& where);

// `step_pairs`: (token, expert) pairs that one expert group handles per layer and step: counts are
// scaled to it, so that F is the seconds of a step spent on the busiest experts' device and on
// moving tokens. Throws ConfigError(where, ...) for traffic models with zero-cost experts.
PlacementProblem placement_problem(std::span<const RoutedTokens> parts, const PlacementShape& shape,
                                   CommModel comm, const PlacementCosts& costs, double step_pairs,
                                   const std::string& where);

}  // namespace moesim
