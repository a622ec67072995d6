// Traffic of a step from what its batch may be expected to do, without drawing a token
// (workloads/sources/expected_routing.h). Lowering cannot tell it from counted tokens.
#pragma once

#include <span>

#include "sim/engine/exchange/expected_distinct.h"
#include "sim/engine/exchange/step_traffic.h"
#include "sim/engine/step_batch.h"
#include "workloads/sources/expected_routing.h"

namespace moesim {

// Of one part of a step. Every expert group has a realisation of its own batch; groups with the
// same batch have the same. Tokens that reach a rank or node with several of their experts are
// counted from the statistics' reference tokens: a destination keeps the same share of its pairs
// from its own, from all near and from all far sources: right in sum; a single source of a heavily
// replicated placement may be off by some percent. Pure for any number of threads.
// `shares`: memory for what statistics and replicas alone decide, empty at first; the next call
// with the same two finds it there.
StepTraffic expected_traffic(const RoutingStatistics& statistics, const StepBatch& batch,
                             const RankMap& ranks, std::span<const ReplicaChoice> replicas,
                             bool needs_distinct, int threads, std::vector<DistinctShares>& shares);

// The tokens of every unit of a group, sequences cut where a unit's share ends: the layout is
// unit_layout's.
std::vector<SourceTokens> unit_sources(const StepBatch& batch, const RankMap& ranks, int group);

}  // namespace moesim
