// From token copies to amounts on links, and the two tasks' latencies: one object per scenario,
// called once per layer.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sim/engine/exchange/all_to_all.h"
#include "sim/engine/exchange/collective_cost.h"

namespace moesim {

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

  // O(links of the group). Reuses the memory of `dispatch` and `combine`.
  void lower(const LayerDemand& demand, CollectiveCost& dispatch, CollectiveCost& combine);

 private:
  // A link of the group and what shares it. Positions below count the group's links.
  struct GroupLink {
    std::int32_t link = 0;                       // position in Topology::links()
    std::int32_t reverse = 0;                    // the same wire the other way: position in links_
    std::array<double, 2> inverse_efficiency{};  // by direction
    double bandwidth = 0.0;
  };
  // What a rank sends or receives crosses this link.
  struct Use {
    std::int32_t link = 0;  // position in links_
    std::int32_t rank = 0;
  };
  struct RankLinks {
    std::vector<Use> near_out, near_in, far_out, far_in;
    std::vector<Use> up, down;  // the links of the ranks' devices alone
  };
  // A way through the fabric: one of those that a class of pairs of places has.
  struct FabricUse {
    std::int32_t link = 0;        // position in links_
    std::int32_t pair_class = 0;  // position in Routes::ways()
    double ways = 1.0;
  };

  void find_links();
  void find_uses();
  [[nodiscard]] std::int32_t position_of(int link) const;
  void amounts_of_combine(const TokenFlow& copies);
  void fill(Direction direction, const LayerDemand& demand, double copies, CollectiveCost& cost);
  void feed_busiest_experts(Direction direction, const LayerTraffic& traffic, Bytes copy);
  [[nodiscard]] Seconds crossing_of(const CollectiveCost& cost) const;

  const Topology* topology_;
  const AllToAllEntry* entry_;
  AllToAllSpec spec_;
  RankGrid grid_;
  std::array<FoundAllToAll, 2> laws_;
  std::vector<GroupLink> links_;  // that the group may use, ascending
  RankLinks uses_;
  std::vector<FabricUse> fabric_uses_;
  std::vector<std::int32_t>
      class_of_places_;  // [lane][sender's place * ranks_per_node + receiver's]
  TokenFlow scratch_;
  std::vector<double> copies_of_class_;
  std::vector<double> combine_copies_;  // by position in links_
  std::vector<double> link_bytes_;
  std::vector<double> payload_;
};

}  // namespace moesim
