// Where ranks sit, and what they send each other as far as links can tell.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace moesim {

// Ranks of one node are contiguous and every node has as many. A rank's place is its position in
// its node.
struct RankGrid {
  int ranks = 1;
  int ranks_per_node = 1;

  [[nodiscard]] int nodes() const { return ranks / ranks_per_node; }
  [[nodiscard]] int node_of(int rank) const { return rank / ranks_per_node; }
  [[nodiscard]] int place_of(int rank) const { return rank % ranks_per_node; }
  // The rank of `node` on the same rail (position in the node) as `rank`.
  [[nodiscard]] int rail_peer(int rank, int node) const {
    return node * ranks_per_node + rank % ranks_per_node;
  }
  friend bool operator==(const RankGrid&, const RankGrid&) = default;
};

// Token copies between ranks, by sender and by receiver, within a node (near) and between nodes
// (far), and, of the far ones, between which places: a link at a rank carries what that rank sends
// or receives, and the way through a fabric depends on the two places alone (hardware/routes.h).
// What stays on its rank is no copy. Memory: O(ranks + places^2).
struct TokenFlow {
  RankGrid grid;
  std::vector<std::int64_t> near_out;  // [rank]
  std::vector<std::int64_t> near_in;
  std::vector<std::int64_t> far_out;
  std::vector<std::int64_t> far_in;
  std::vector<std::int64_t> between;  // far: [sender's place * ranks_per_node + receiver's place]

  // Nothing sent yet. Reuses memory.
  void reset(const RankGrid& of);

  void add(int from, int to, std::int64_t copies) {
    if (grid.node_of(from) == grid.node_of(to)) {
      add_near(from, to, copies);
    } else {
      add_far(from, to, copies);
    }
  }
  void add_near(int from, int to, std::int64_t copies) {
    if (from != to) {
      near_out[static_cast<std::size_t>(from)] += copies;
      near_in[static_cast<std::size_t>(to)] += copies;
    }
  }
  void add_far(int from, int to, std::int64_t copies) {
    far_out[static_cast<std::size_t>(from)] += copies;
    far_in[static_cast<std::size_t>(to)] += copies;
    const auto from_place = static_cast<std::size_t>(grid.place_of(from));
    const auto to_place = static_cast<std::size_t>(grid.place_of(to));
    between[from_place * static_cast<std::size_t>(grid.ranks_per_node) + to_place] += copies;
  }

  [[nodiscard]] std::int64_t near_copies() const;
  [[nodiscard]] std::int64_t far_copies() const;
  [[nodiscard]] std::int64_t copies() const { return near_copies() + far_copies(); }
};

}  // namespace moesim
