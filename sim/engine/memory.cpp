#include "sim/engine/memory.h"

#include <algorithm>
#include <span>

#include "models/moe_model_size.h"
#include "sim/engine/all_to_all.h"
#include "sim/engine/lowering.h"

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

// Most (token, expert) pairs that a unit computes in any layer.
std::int64_t most_pairs(const StepTraffic& traffic, const ExpertPlacement& placement,
                        std::span<const int> node_of_unit) {
  std::int64_t most = 0;
  LayerTraffic lowered;
  for (std::size_t l = 0; l < traffic.layers.size(); ++l) {
    const ReplicaChoice replicas(placement, static_cast<int>(l), node_of_unit);
    for (const LayerCounts& counts : traffic.layers[l]) {
      lower_counts(counts.experts, replicas, lowered);
      for (const ExpertLoad& load : lowered.load) {
        most = std::max(most, load.pairs);
      }
    }
  }
  return most;
}

// Residual stream and its normed copy for every token, gate and up activations of the widest FFN,
// input, hidden and output rows of the received pairs, fp32 logits.
Bytes activations(const MoeModel& model, const Workload& workload, const Parallelism& parallelism,
                  const Policy& policy, std::int64_t pairs) {
  const double value = stored_bits(policy.precision.activation) / 8;
  const auto tokens = static_cast<double>(workload.tokens());
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
  const auto logit_rows =
      static_cast<double>(workload.decode_requests) + static_cast<double>(workload.prompts());
  const double logits =
      4.0 * logit_rows * static_cast<double>(model.vocabulary) / parallelism.attention_tp;
  return Bytes(tokens * 2 * hidden * value +
               std::max({tokens * widest * value,
                         static_cast<double>(pairs) * (2 * hidden + expert) * value, logits}));
}

}  // namespace

MemoryUse memory_use(const Cluster& cluster, const MoeModel& model, const Workload& workload,
                     const Parallelism& parallelism, const Policy& policy,
                     const ExpertGroups& groups, const ExpertPlacement& placement,
                     const StepTraffic& traffic, std::span<const int> node_of_unit) {
  const std::int64_t tp = parallelism.attention_tp;
  const WeightBytes weights = weight_bytes(model, policy.precision.weights,
                                           {.attention = tp,
                                            .dense = tp,
                                            .shared = tp,
                                            .expert = parallelism.expert_tp,
                                            .vocabulary = tp});
  MemoryUse use;
  use.experts = expert_weights(weights, model, most_slots(placement));
  use.weights = weights_without_experts(weights, model) + use.experts;
  const double cached =
      static_cast<double>(workload.decode_requests) * static_cast<double>(workload.context) +
      static_cast<double>(workload.prefill_tokens);
  const auto sequences =
      static_cast<double>(workload.decode_requests) + static_cast<double>(workload.prompts());
  use.kv_cache = cached * kv_bytes_per_token(model, policy.precision.kv, tp) +
                 sequences * state_bytes_per_sequence(model, tp);
  Workload fullest = workload;
  if (!traffic.resident.empty()) {  // tokens of every rank may come by, and need their context
    use.kv_cache = static_cast<double>(groups.units) * use.kv_cache;
    fullest.decode_requests = traffic.most_tokens();
  }
  const std::int64_t pairs = most_pairs(traffic, placement, node_of_unit);
  use.activations = activations(model, fullest, parallelism, policy, pairs);
  const RoutingShape routing = routing_shape(model);
  if (groups.units > 1 && routing.top_k > 0) {
    const TokenPayload payload{.hidden = dispatch_width(model),
                               .top_k = static_cast<int>(routing.top_k),
                               .dispatch = policy.dispatch,
                               .combine = policy.combine};
    use.buffers = find_all_to_all_algorithm(policy.all_to_all, "policy/all_to_all")
                      .buffer_bytes(payload, {.slots = placement.slots(),
                                              .ranks = groups.units,
                                              .tokens_per_rank = traffic.most_tokens(),
                                              .most_pairs = pairs});
  }
  use.capacity = cluster.node.device.memory.capacity;
  use.usable = cluster.usable_memory * use.capacity;
  return use;
}

}  // namespace moesim
