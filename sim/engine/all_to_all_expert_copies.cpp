// Permuted tokens through a library's all-to-all-v (NCCL send/recv): a copy per (token, expert).
#include "sim/engine/all_to_all.h"
#include "sim/engine/all_to_all_copies.h"

namespace moesim {

AllToAllEntry expert_copies_entry() {
  return {
      .name = "expert_copies",
      .summary = "all-to-all-v of permuted tokens: a copy per (token, expert)",
      .needs_distinct = false,
      .fill_copies =
          [](const LayerDemand& demand, const RankGrid& grid, std::span<double> copies) {
            fill_off_diagonal(demand.traffic->pair_copies, grid.ranks, copies);
          },
      .dispatch_bytes =
          [](const TokenPayload& p) { return activation_bytes(p.hidden, p.dispatch); },
      .combine_bytes = [](const TokenPayload& p) { return activation_bytes(p.hidden, p.combine); },
      .buffer_bytes = staged_rows,
  };
}

}  // namespace moesim
