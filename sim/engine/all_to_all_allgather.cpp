// No all-to-all at all: every rank gathers every token, computes its own experts, and a
// reduce-scatter sums the results. Independent of routing. Each rank receives the tokens of all
// others directly from their owner: on device links as much as a ring would load, between nodes one
// copy per receiving rank over the owner's NIC, which a ring over nodes would save.
#include "sim/engine/all_to_all.h"
#include "sim/engine/all_to_all_copies.h"

namespace moesim {
namespace {

void fill_copies(const LayerDemand& demand, const RankGrid& grid, std::span<double> copies) {
  const auto width = static_cast<std::size_t>(grid.ranks);
  for (std::size_t to = 0; to < width; ++to) {
    for (std::size_t from = 0; from < width; ++from) {
      copies[to * width + from] =
          from == to ? 0.0 : static_cast<double>(demand.layout->tokens_of(static_cast<int>(from)));
    }
  }
}

}  // namespace

AllToAllEntry allgather_reducescatter_entry() {
  return {
      .name = "allgather_reducescatter",
      .summary = "all-gather of all tokens, reduce-scatter of all results",
      .needs_distinct = false,
      .fill_copies = fill_copies,
      .dispatch_bytes =
          [](const TokenPayload& p) {
            return activation_bytes(p.hidden, p.dispatch) + routing_bytes(p.top_k);
          },
      .combine_bytes = [](const TokenPayload& p) { return activation_bytes(p.hidden, p.combine); },
      .buffer_bytes = staged_rows,
  };
}

}  // namespace moesim
