// DeepEP's low-latency kernels: one message per (token, expert), straight to the expert's rank; no
// deduplication. A message carries a 16-byte header (source token index, padded).
#include "sim/engine/exchange/all_to_all.h"

namespace moesim {

AllToAllEntry deepep_low_latency_entry() {
  return {
      .name = "deepep_low_latency",
      .summary = "a message per (token, expert), direct to the expert's rank",
      .needs_distinct = false,
      .layout = ExpertLayout::masked,
      .copies = [](const LayerDemand& demand, TokenFlow&) -> const TokenFlow& {
        return demand.traffic->pairs;
      },
      .dispatch_bytes =
          [](const TokenPayload& p) {
            return activation_bytes(p.hidden, p.dispatch) + Bytes(16.0);
          },
      .combine_bytes = [](const TokenPayload& p) { return activation_bytes(p.hidden, p.combine); },
      // Two slots (double buffering) of: a message per token and expert to receive, and as many
      // results to send (DeepEP, csrc/config.hpp, LowLatencyLayout).
      .buffer_bytes =
          [](const TokenPayload& p, const ExchangeSize& size) {
            const Bytes message = activation_bytes(p.hidden, DType::bf16) + Bytes(16.0);
            return 4.0 * static_cast<double>(size.slots * size.tokens_per_rank) * message;
          },
  };
}

}  // namespace moesim
