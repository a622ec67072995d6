#include "sim/engine/results/memory.h"

#include <algorithm>
#include <span>

#include "models/network/moe_model_size.h"
#include "models/operators/operators.h"
#include "sim/engine/exchange/all_to_all.h"

namespace moesim {
namespace {

Bytes weights_without_experts(const WeightBytes& weights, const MoeModel& model) {
  Bytes sum = weights.embedding + weights.head + weights.final_norm;
  for (const std::int32_t b : model.layers) {
    sum += weights.blocks[static_cast<std::size_t>(b)].resident();
  }
  return sum;
}

// Every routing decision of a layer has its own experts; rounds share them.
Bytes expert_weights(const WeightBytes& weights, const MoeModel& model, int slots) {
  Bytes sum;
  for (const std::int32_t b : model.layers) {
    for (const FfnBytes& ffn : weights.blocks[static_cast<std::size_t>(b)].ffn) {
      if (ffn.routed_experts > 0) {
        sum += static_cast<double>(slots) * ffn.routed_expert;
      }
    }
  }
  return sum;
}

int most_slots(const ExpertPlacement& placement) {
  int most = 0;
  for (std::size_t d = 0; d + 1 < placement.first_slot.size(); ++d) {
    most = std::max(most, placement.first_slot[d + 1] - placement.first_slot[d]);
  }
  return most;
}

// Residual stream and its normed copy for every token, gate and up activations of the widest FFN,
// input, hidden and output rows of the received pairs, fp32 logits.
Bytes activations(const MoeModel& model, std::int64_t rank_tokens, std::int64_t logit_rows,
                  const Parallelism& parallelism, const Policy& policy, std::int64_t pairs) {
  const double value = stored_bits(policy.precision.activation) / 8;
  const auto tokens = static_cast<double>(rank_tokens);
  const auto hidden = static_cast<double>(model.hidden);
  double widest = 0.0;
  double expert = 0.0;
  for (const Block& block : model.blocks) {
    for (const FfnGroup& group : block.ffn) {
      if (group.kind == FfnKind::dense) {
        widest =
            std::max(widest, 2.0 * static_cast<double>(group.inter) / parallelism.attention_tp);
      } else {
        expert = std::max(expert,
                          2.0 * static_cast<double>(group.expert().inter) / parallelism.expert_tp);
      }
    }
  }
  const double logits = 4.0 * static_cast<double>(logit_rows) *
                        static_cast<double>(model.vocabulary) / parallelism.attention_tp;
  return Bytes(tokens * 2 * hidden * value +
               std::max({tokens * widest * value,
                         static_cast<double>(pairs) * (2 * hidden + expert) * value, logits}));
}

// Of all micro-batches together.
struct Traffic {
  bool resident = false;
  std::int64_t most_tokens = 0;
  std::int64_t most_pairs = 0;
};

Traffic traffic_of(std::span<const MicroBatch> micro_batches) {
  Traffic sum;
  for (const MicroBatch& micro : micro_batches) {
    sum.resident = sum.resident || !micro.traffic.resident.empty();
    for (int chunk = 0; chunk < micro.chunks(); ++chunk) {
      sum.most_tokens += micro.chunk(chunk).most_tokens();
      sum.most_pairs += micro.chunk(chunk).most_pairs();
    }
  }
  return sum;
}

}  // namespace

MemoryUse memory_use(const Deployment& deployment, const StepBatch& batch,
                     std::span<const MicroBatch> micro_batches) {
  const System& system = deployment.system();
  const MoeModel& model = system.model();
  const Policy& policy = system.scenario().policy;
  const Parallelism& parallelism = system.ranks().parallelism();
  const ExpertPlacement& placement = deployment.placement();
  const std::int64_t tp = parallelism.attention_tp;
  const WeightBytes weights = weight_bytes(model, policy.precision.weights,
                                           {.attention = tp,
                                            .dense = tp,
                                            .shared = tp,
                                            .expert = parallelism.expert_tp,
                                            .vocabulary = tp});
  const Traffic traffic = traffic_of(micro_batches);
  const int units = system.ranks().units();
  MemoryUse use;
  use.experts = expert_weights(weights, model, most_slots(placement));
  use.per_token = kv_bytes_per_token(model, policy.precision.kv, tp);
  use.weights = weights_without_experts(weights, model) + use.experts;
  for (const RankBatch& rank : batch.kinds()) {
    Bytes cache = static_cast<double>(rank.count()) * state_bytes_per_sequence(model, tp);
    Bytes longest;
    for (const SequenceClass& s : rank.sequences) {
      const Bytes each = kv_bytes_per_sequence(model, policy.precision.kv, s.context, tp);
      cache += static_cast<double>(s.count) * each;
      longest = std::max(longest, each);
    }
    longest += state_bytes_per_sequence(model, tp);
    use.largest_sequence = std::max(use.largest_sequence, longest);
    std::int64_t tokens = rank.tokens();
    std::int64_t rows = logit_rows_of(rank.attention());
    if (traffic.resident) {  // tokens of every rank may come by, and need their context
      cache = static_cast<double>(units) * cache;
      tokens = rows = traffic.most_tokens;
    }
    const Bytes active = activations(model, tokens, rows, parallelism, policy, traffic.most_pairs);
    if (cache + active > use.kv_cache + use.activations) {
      use.kv_cache = cache;
      use.activations = active;
    }
  }
  if (units > 1 && system.has_experts()) {
    const TokenPayload payload{.hidden = dispatch_width(model),
                               .top_k = static_cast<int>(system.routing_shape().top_k),
                               .dispatch = policy.dispatch,
                               .combine = policy.combine};
    use.buffers = find_all_to_all_algorithm(policy.all_to_all, "policy/all_to_all")
                      .buffer_bytes(payload, {.slots = placement.slots(),
                                              .ranks = units,
                                              .tokens_per_rank = traffic.most_tokens,
                                              .most_pairs = traffic.most_pairs});
  }
  use.capacity = system.cluster().node.device.memory.capacity;
  use.usable = system.cluster().usable_memory * use.capacity;
  return use;
}

}  // namespace moesim
