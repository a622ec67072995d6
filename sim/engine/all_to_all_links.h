// From token copies to amounts on links, and the two tasks' latencies: one object per scenario,
// called once per layer.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sim/engine/all_to_all.h"

namespace moesim {

// Effective bytes: bytes / efficiency, so that a task served at nominal link rates takes as long
// as the library does.
struct LinkLoad {
  std::int32_t link = 0;  // position in Topology::links()
  double bytes = 0.0;     // > 0
  double payload = 0.0;   // what really crosses the link
};

struct CollectiveCost {
  Seconds latency;
  std::vector<LinkLoad> loads;  // ascending link
  double token_copies = 0.0;    // token copies sent to other ranks, once for all lanes
  double payload_bytes = 0.0;   // sent by all ranks to other ranks, before division by efficiency
  bool extrapolated = false;    // outside the profile's fit range
  double sigma = 0.0;           // relative standard error of the time alone
};

struct AllToAllSpec {
  std::string_view algorithm;
  TokenPayload payload;
  int slots = 0;        // expert slots of a layer, over all ranks
  Bandwidth link_rate;  // reached on devices' links; 0: what the profile's efficiency makes of them
  // Device of each rank, one row per lane: lanes are disjoint groups that exchange the same
  // traffic side by side (expert tensor parallelism). Empty: rank r is device r, one lane.
  std::vector<std::vector<int>> lanes;
};

// Holds scratch memory: one per thread. The topology must outlive it.
class AllToAllLowering {
 public:
  // Throws ConfigError(where, ...) for an unknown algorithm, InvariantError unless every lane's
  // ranks fill nodes evenly, contiguously and alike.
  AllToAllLowering(const Topology& topology, std::span<const CommProfile> profiles,
                   const CommTarget& target, const AllToAllSpec& spec, std::string_view where);

  [[nodiscard]] const AllToAllEntry& algorithm() const { return *entry_; }
  [[nodiscard]] const RankGrid& grid() const { return grid_; }
  [[nodiscard]] std::vector<int> node_of_rank() const;  // for ReplicaChoice
  [[nodiscard]] const FoundAllToAll& law(Direction direction) const {
    return laws_[static_cast<std::size_t>(direction)];
  }

  // O(ranks^2 + links). Reuses the memory of `dispatch` and `combine`.
  void lower(const LayerDemand& demand, CollectiveCost& dispatch, CollectiveCost& combine);

 private:
  void find_mirrors();
  void spread_over_lanes();
  void fill(Direction direction, const LayerDemand& demand, std::span<const double> link_copies,
            double copies, CollectiveCost& cost) const;
  void feed_busiest_experts(Direction direction, const LayerTraffic& traffic, Bytes copy,
                            std::span<double> link_bytes) const;

  const Topology* topology_;
  const AllToAllEntry* entry_;
  AllToAllSpec spec_;
  RankGrid grid_;
  std::array<FoundAllToAll, 2> laws_;
  std::array<std::vector<double>, 2> inverse_efficiency_;  // by direction, by link
  std::vector<std::int32_t> mirror_;                       // by link: the same wire the other way
  std::vector<double> copies_;                             // [to rank][from rank]
  std::vector<double> device_copies_;  // [to device][from device], unless that is copies_
  std::array<std::vector<double>, 2> link_copies_;
};

// One symmetric collective among devices of one node: bytes on every device's up and down link
// and a latency, such that alone it takes CollectiveLaw::time.
CollectiveCost lower_collective(const Topology& topology, const FoundCollective& law,
                                CollectiveOp op, std::span<const int> devices, Bytes bytes);

}  // namespace moesim
