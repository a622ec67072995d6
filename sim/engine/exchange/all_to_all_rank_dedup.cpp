// A token goes once to every rank that holds one of its experts, with ids and gate weights of its
// top_k experts beside it (one- and two-sided NVLink kernels, pplx). Partial results are summed on
// the expert's rank, so the combine is one copy per (token, rank) too.
#include "sim/engine/exchange/all_to_all.h"

namespace moesim {

AllToAllEntry rank_dedup_entry() {
  return {
      .name = "rank_dedup",
      .summary = "a copy per (token, destination rank), direct",
      .needs_distinct = true,
      .received = ReceivedRows::tokens,
      .copies = [](const LayerDemand& demand, TokenFlow&) -> const TokenFlow& {
        return demand.traffic->distinct.per_rank;
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
