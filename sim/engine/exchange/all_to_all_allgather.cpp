// No all-to-all at all: every rank gathers every token, computes its own experts, and a
// reduce-scatter sums the results. Independent of routing. Each rank receives the tokens of all
// others directly from their owner: on device links as much as a ring would load, between nodes one
// copy per receiving rank over the owner's NIC, which a ring over nodes would save.
#include "sim/engine/exchange/all_to_all.h"

namespace moesim {
namespace {

const TokenFlow& copies(const LayerDemand& demand, TokenFlow& scratch) {
  const RankGrid grid = demand.traffic->pairs.grid;
  const std::int64_t peers = grid.ranks_per_node - 1;
  const std::int64_t others = grid.nodes() - 1;
  const auto places = static_cast<std::size_t>(grid.ranks_per_node);
  const std::int64_t all = demand.layout->tokens();
  scratch.reset(grid);
  for (int rank = 0; rank < grid.ranks; ++rank) {
    const auto r = static_cast<std::size_t>(rank);
    const std::int64_t own = demand.layout->tokens_of(rank);
    const auto first = static_cast<std::size_t>(grid.node_of(rank)) * places;
    const std::int64_t in_node = demand.layout->first[first + places] - demand.layout->first[first];
    scratch.near_out[r] = own * peers;
    scratch.near_in[r] = in_node - own;
    scratch.far_out[r] = own * others * grid.ranks_per_node;
    scratch.far_in[r] = all - in_node;
    for (std::size_t place = 0; place < places; ++place) {
      scratch.between[static_cast<std::size_t>(grid.place_of(rank)) * places + place] +=
          own * others;
    }
  }
  return scratch;
}

}  // namespace

AllToAllEntry allgather_reducescatter_entry() {
  return {
      .name = "allgather_reducescatter",
      .summary = "all-gather of all tokens, reduce-scatter of all results",
      .needs_distinct = false,
      .received = ReceivedRows::all_tokens,
      .copies = copies,
      .dispatch_bytes =
          [](const TokenPayload& p) {
            return activation_bytes(p.hidden, p.dispatch) + routing_bytes(p.top_k);
          },
      .combine_bytes = [](const TokenPayload& p) { return activation_bytes(p.hidden, p.combine); },
      .buffer_bytes = staged_rows,
  };
}

}  // namespace moesim
