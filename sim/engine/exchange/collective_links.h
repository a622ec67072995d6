// From a collective among devices to amounts on links and a latency.
#pragma once

#include <map>
#include <span>
#include <tuple>
#include <vector>

#include "hardware/topology.h"
#include "models/comm/comm_profile.h"
#include "sim/engine/exchange/collective_cost.h"

namespace moesim {

// One symmetric collective among devices of one node: bytes on every device's up and down link
// and a latency, such that alone it takes CollectiveLaw::time. O(devices) amounts.
CollectiveCost lower_collective(const Topology& topology, const FoundCollective& law,
                                CollectiveOp op, std::span<const int> devices, Bytes bytes);

// The same, remembered: groups of one node that sit at the same places in their nodes differ in
// whose links they use alone. Holds memory that grows with what was asked in a step, and a bounded
// part of what earlier steps did: one per thread. The topology must outlive it.
class CollectiveLowering {
 public:
  explicit CollectiveLowering(const Topology& topology) : topology_(&topology) {}

  // Forgets earlier steps if they asked for much.
  void begin_step();

  // One law per operation for the lifetime of this object. Valid until the next call.
  const CollectiveCost& lower(const FoundCollective& law, CollectiveOp op,
                              std::span<const int> devices, Bytes bytes);

 private:
  using Key = std::tuple<CollectiveOp, double, std::vector<int>>;  // bytes, places
  struct Remembered {
    int node = 0;  // where the links of `cost` are
    CollectiveCost cost;
  };
  void move_to(int node, Remembered& known) const;

  const Topology* topology_;
  std::vector<int> places_;  // scratch
  std::map<Key, Remembered> known_;
  CollectiveCost spread_;  // of a group over several nodes: not remembered
};

}  // namespace moesim
