// DeepEP's normal kernels. A token crosses the fabric once per destination node, to the rank there
// on the sender's rail, which forwards it over the node's links once per destination rank. Within
// the sender's own node it goes directly, once per destination rank. The combine runs backwards:
// results are summed per node before they cross the fabric.
#include "sim/engine/exchange/all_to_all.h"

namespace moesim {

AllToAllEntry deepep_normal_entry() {
  return {
      .name = "deepep_normal",
      .summary = "once per destination node over the sender's rail, then once per rank in the node",
      .needs_distinct = true,
      .received = ReceivedRows::tokens,
      .layout = ExpertLayout::contiguous,
      .copies = [](const LayerDemand& demand, TokenFlow&) -> const TokenFlow& {
        return demand.traffic->distinct.per_node;
      },
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
