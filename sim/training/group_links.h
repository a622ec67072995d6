// Collectives of many groups at once: what they put on links, and how long they take alone.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "hardware/topology.h"
#include "models/comm/comm_profile.h"
#include "sim/engine/exchange/collective_cost.h"

namespace moesim {

// The same collective on `bytes` per rank in groups of one size that all begin at once. A group
// within a node is a ring; one of several ranks in each of several nodes is as many rings as it has
// ranks per node, each leaving its nodes through another NIC (NCCL's channels; NCCL 2.x,
// docs.nvidia.com/deeplearning/nccl, from memory), which share the bytes.
CollectiveCost lower_groups(const Topology& topology, const FoundCollective& law, CollectiveOp op,
                            std::span<const std::vector<int>> groups, Bytes bytes);

// Pairs (from, to) of devices that send `bytes` each, all at once. There are no laws of single
// sends: an all-gather of two ranks moves as many bytes one way.
CollectiveCost lower_sends(const Topology& topology, const FoundCollective& all_gather,
                           std::span<const std::pair<int, int>> pairs, Bytes bytes);

// Of links of one kind, the one that takes longest alone (the first of equals). What ranks that are
// alike do at once takes as long on it as on all of them.
void keep_slowest_links(const Topology& topology, CollectiveCost& cost);

// Energy of the bytes on all links.
double joules_of(const Topology& topology, const CollectiveCost& cost);

}  // namespace moesim
