// DeepEP's normal kernels. A token crosses the fabric once per destination node, to the rank there
// on the sender's rail, which forwards it over the node's links once per destination rank. Within
// the sender's own node it goes directly, once per destination rank. The combine runs backwards:
// results are summed per node before they cross the fabric.
#include <algorithm>

#include "sim/engine/all_to_all.h"
#include "sim/engine/all_to_all_copies.h"

namespace moesim {
namespace {

void fill_copies(const LayerDemand& demand, const RankGrid& grid, std::span<double> copies) {
  const auto width = static_cast<std::size_t>(grid.ranks);
  const auto& to_rank = demand.distinct->tokens_to_rank;
  const auto& to_node = demand.distinct->tokens_to_node;
  std::ranges::fill(copies, 0.0);  // a gateway's row collects from all its rail's sources
  for (int to = 0; to < grid.ranks; ++to) {
    const std::size_t row = static_cast<std::size_t>(to) * width;
    const std::size_t node_row = static_cast<std::size_t>(grid.node_of(to)) * width;
    for (int source = 0; source < grid.ranks; ++source) {
      const auto s = static_cast<std::size_t>(source);
      const int gateway = grid.rail_peer(source, grid.node_of(to));
      if (gateway != to) {
        copies[row + static_cast<std::size_t>(gateway)] += to_rank[row + s];
      } else if (source != to) {
        copies[row + s] += to_node[node_row + s];
      }
    }
  }
}

}  // namespace

AllToAllEntry deepep_normal_entry() {
  return {
      .name = "deepep_normal",
      .summary = "once per destination node over the sender's rail, then once per rank in the node",
      .needs_distinct = true,
      .fill_copies = fill_copies,
      .dispatch_bytes =
          [](const TokenPayload& p) {
            return activation_bytes(p.hidden, p.dispatch) + routing_bytes(p.top_k);
          },
      .combine_bytes =
          [](const TokenPayload& p) {
            return activation_bytes(p.hidden, p.combine) + Bytes(4.0 * p.top_k);
          },
      .buffer_bytes = staged_rows,
  };
}

}  // namespace moesim
