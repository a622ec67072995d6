// Replicas: how many of each expert, and the problem whose items are the replicas.
#pragma once

#include <span>
#include <vector>

#include "placement/placement.h"
#include "placement/problem.h"

namespace moesim {

// Water-filling: `slots` replicas over experts, each at least one and at most most[expert]: one
// after another to the expert with the most load per replica. No other counts have a smaller max of
// load / replicas (exchange argument; the rule of DeepSeek's EPLB). Replicas beyond all limits go,
// likewise, to experts that are at theirs.
std::vector<int> water_filling_counts(std::span<const double> loads, int slots,
                                      std::span<const int> most);

// [expert]: devices with slots that may hold the expert, one replica each.
std::vector<int> replica_limits(const PlacementProblem& problem, int layer);

// Every replica of an expert becomes an item with an equal share of its load, transitions and
// tokens; items of a layer in expert order. counts[layer][expert] >= 1, as many in every layer.
PlacementProblem expand_replicas(const PlacementProblem& problem,
                                 const std::vector<std::vector<int>>& counts);

// The same with water_filling_counts in every layer; a problem without redundancy as it is.
PlacementProblem expand_replicas(const PlacementProblem& problem);

// How many replicas of each expert a placement has, [layer][expert].
std::vector<std::vector<int>> replica_counts(const ExpertPlacement& placement);

// The placement with replicas of one expert on different devices, as far as exchanges of two slots
// allow: engines keep at most one of each per device, EPLB does not care.
ExpertPlacement apart_where_possible(const PlacementProblem& problem,
                                     const ExpertPlacement& placement);

// Without the later of two replicas of one expert on one device: their slots stay empty.
ExpertPlacement without_twins(const ExpertPlacement& placement);

// The same loads on alike devices, with replicas of an expert in as many nodes as exchanges of
// whole devices reach: topology for nothing. Other problems (traffic, unlike devices) come back as
// they are.
ExpertPlacement spread_over_nodes(const PlacementProblem& problem,
                                  const ExpertPlacement& placement);

// Nodes that hold an expert over nodes that its replicas could reach, over all experts and layers.
double replica_node_share(const PlacementProblem& problem, const ExpertPlacement& placement);

}  // namespace moesim
