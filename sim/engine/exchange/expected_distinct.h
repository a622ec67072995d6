// Distinct copies of tokens that nobody drew.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/engine/exchange/traffic.h"

namespace moesim {

// Reference tokens of one layer: ids [token][k]; ids >= `experts` are no load.
struct ReferencePicks {
  std::span<const std::uint16_t> ids;
  int top_k = 0;
  int experts = 0;
};

// Of the (token, expert) pairs that reach a destination, the share that tokens make: 1 if a token
// never has two experts there. Reference tokens take turns at the sources, so that every source's
// choice of replicas counts.
struct DistinctShares {
  std::vector<double> own;   // [rank], of its own tokens
  std::vector<double> near;  // [rank], of other sources in its node
  std::vector<double> far;   // [rank], of sources in other nodes
  std::vector<double> node;  // [node], of sources in other nodes
};
DistinctShares distinct_shares(const ReferencePicks& reference, const ReplicaChoice& replicas);

// Fills traffic.distinct, rounded to whole copies per rank.
void expect_distinct(const ExpertCounts& counts, const ReplicaChoice& replicas,
                     const DistinctShares& shares, DistinctTraffic& distinct);

}  // namespace moesim
