// Permuted tokens through a library's all-to-all-v (NCCL send/recv): a copy per (token, expert).
#include "sim/engine/exchange/all_to_all.h"

namespace moesim {

AllToAllEntry expert_copies_entry() {
  return {
      .name = "expert_copies",
      .summary = "all-to-all-v of permuted tokens: a copy per (token, expert)",
      .needs_distinct = false,
      .copies = [](const LayerDemand& demand, TokenFlow&) -> const TokenFlow& {
        return demand.traffic->pairs;
      },
      .dispatch_bytes =
          [](const TokenPayload& p) { return activation_bytes(p.hidden, p.dispatch); },
      .combine_bytes = [](const TokenPayload& p) { return activation_bytes(p.hidden, p.combine); },
      .buffer_bytes = staged_rows,
  };
}

}  // namespace moesim
