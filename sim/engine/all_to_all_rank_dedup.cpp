// A token goes once to every rank that holds one of its experts, with ids and gate weights of its
// top_k experts beside it (one- and two-sided NVLink kernels, pplx). Partial results are summed on
// the expert's rank, so the combine is one copy per (token, rank) too.
#include "sim/engine/all_to_all.h"
#include "sim/engine/all_to_all_copies.h"

namespace moesim {

AllToAllEntry rank_dedup_entry() {
  return {
      .name = "rank_dedup",
      .summary = "a copy per (token, destination rank), direct",
      .needs_distinct = true,
      .fill_copies =
          [](const LayerDemand& demand, const RankGrid& grid, std::span<double> copies) {
            fill_off_diagonal(demand.distinct->tokens_to_rank, grid.ranks, copies);
          },
      .dispatch_bytes =
          [](const TokenPayload& p) {
            return activation_bytes(p.hidden, p.dispatch) + routing_bytes(p.top_k);
          },
      .combine_bytes = [](const TokenPayload& p) { return activation_bytes(p.hidden, p.combine); },
      .buffer_bytes = staged_rows,
  };
}

}  // namespace moesim
