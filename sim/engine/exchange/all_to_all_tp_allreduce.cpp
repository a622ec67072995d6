// Attention tensor parallelism keeps every token on all ranks of its group. Where the experts of a
// group lie on the same ranks, engines dispatch nothing: each rank computes its experts' share of
// all tokens, and the all-reduce that sums a layer's output sums the experts' too (SGLang and vLLM
// without attention data parallelism, TensorRT-LLM's MoE EP inside TP).
#include "sim/engine/exchange/all_to_all.h"

namespace moesim {

AllToAllEntry tp_allreduce_entry() {
  return {
      .name = k_tp_allreduce,
      .summary = "none: tensor-parallel ranks have all tokens and all-reduce the results",
      .needs_distinct = false,
      .received = ReceivedRows::all_tokens,
      .tokens_everywhere = true,
      .copies = [](const LayerDemand& demand, TokenFlow& scratch) -> const TokenFlow& {
        scratch.reset(demand.traffic->pairs.grid);
        return scratch;
      },
      .dispatch_bytes = [](const TokenPayload&) { return Bytes(0.0); },
      .combine_bytes = [](const TokenPayload&) { return Bytes(0.0); },
      .buffer_bytes = [](const TokenPayload&, const ExchangeSize&) { return Bytes(0.0); },
  };
}

}  // namespace moesim
