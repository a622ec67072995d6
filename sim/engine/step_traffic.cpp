#include "sim/engine/step_traffic.h"

#include <algorithm>
#include <optional>

#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "sim/core/thread_pool.h"

namespace moesim {
namespace {

// Prefill and decode parts of a step are drawn separately and joined rank by rank.
std::vector<BatchShape> batch_shapes(const Workload& workload, int ranks, std::uint64_t seed,
                                     int threads) {
  std::vector<BatchShape> shapes;
  if (workload.decode_requests > 0) {
    shapes.push_back(decode_batch(workload, ranks, seed, threads));
  }
  if (workload.prefill_tokens > 0) {
    shapes.push_back({.ranks = ranks,
                      .tokens_per_rank = workload.prefill_tokens,
                      .tokens_per_request = workload.prompt_tokens,
                      .context = 0,
                      .phase = TokenPhase::prefill,
                      .sample_tokens_per_rank = workload.routing_sample,
                      .seed = seed,
                      .threads = threads});
  }
  return shapes;
}

std::vector<RoutedTokens> draw(const RoutingSource& source, const Workload& workload, int ranks,
                               std::uint64_t seed, int threads) {
  std::vector<RoutedTokens> parts;
  for (const BatchShape& shape : batch_shapes(workload, ranks, seed, threads)) {
    parts.push_back(source.batch(shape));
  }
  return parts;
}

void scale(std::vector<std::int32_t>& counts, std::int32_t weight) {
  for (std::int32_t& count : counts) {
    count *= weight;
  }
}

void add(std::vector<std::int32_t>& sum, const std::vector<std::int32_t>& more) {
  if (sum.empty()) {
    sum = more;
    return;
  }
  ensure(sum.size() == more.size(), "parts of a step have one shape");
  for (std::size_t i = 0; i < sum.size(); ++i) {
    sum[i] += more[i];
  }
}

std::int32_t whole_weight(const RoutedTokens& part) {
  const auto weight = static_cast<std::int32_t>(part.token_weight);
  ensure(static_cast<double>(weight) == part.token_weight && weight >= 1,
         "a routed token stands for a whole number of tokens");
  return weight;
}

// Counts of one part of the step, tokens of `group` only.
void count_part(const RoutedTokens& part, int layer, const ExpertGroups& groups, int group,
                int ffn_experts, const ReplicaChoice* replicas, LayerCounts& total) {
  const std::int64_t per_unit = part.tokens() / (std::int64_t{groups.groups} * groups.units);
  const TokenLayout layout = even_layout(groups.units, per_unit);
  const auto width =
      static_cast<std::size_t>(per_unit * groups.units) * static_cast<std::size_t>(part.top_k);
  const LayerPicks picks{part.layer(layer).subspan(static_cast<std::size_t>(group) * width, width),
                         part.top_k, ffn_experts};
  LayerCounts counts;
  count_experts(picks, layout, counts.experts);
  const std::int32_t weight = whole_weight(part);
  scale(counts.experts.count, weight);
  total.experts.ranks = counts.experts.ranks;
  total.experts.experts = counts.experts.experts;
  total.experts.zero_cost_picks += counts.experts.zero_cost_picks * weight;
  add(total.experts.count, counts.experts.count);
  if (replicas != nullptr) {
    count_distinct(picks, layout, *replicas, counts.distinct);
    scale(counts.distinct.tokens_to_rank, weight);
    scale(counts.distinct.tokens_to_node, weight);
    total.distinct.ranks = counts.distinct.ranks;
    total.distinct.nodes = counts.distinct.nodes;
    add(total.distinct.tokens_to_rank, counts.distinct.tokens_to_rank);
    add(total.distinct.tokens_to_node, counts.distinct.tokens_to_node);
  }
}

}  // namespace

std::int64_t StepTraffic::most_tokens() const {
  std::int64_t most = 0;
  const auto look_at = [&most](const TokenLayout& tokens) {
    for (int r = 0; r < tokens.ranks(); ++r) {
      most = std::max(most, tokens.tokens_of(r));
    }
  };
  look_at(layout);
  for (const auto& groups : resident) {
    for (const ResidentLayer& layer : groups) {
      look_at(layer.after);
    }
  }
  return most;
}

BatchShape decode_batch(const Workload& workload, int ranks, std::uint64_t seed, int threads) {
  return {.ranks = ranks,
          .tokens_per_rank = workload.decode_requests,
          .tokens_per_request = 1,
          .context = workload.context,
          .phase = TokenPhase::decode,
          .seed = seed,
          .threads = threads};
}

ExpertGroups expert_groups(const Parallelism& parallelism, const Workload& workload,
                           const std::string& where) {
  ExpertGroups groups;
  groups.groups = parallelism.expert_dp;
  groups.units = parallelism.expert_ep;
  groups.lanes = parallelism.expert_tp;
  const int sharing = parallelism.attention_tp / parallelism.expert_tp;
  for (const auto tokens :
       {workload.decode_requests, workload.prefill_tokens, workload.routing_sample}) {
    if (tokens % sharing != 0) {
      throw ConfigError(where, std::to_string(tokens) + " tokens per rank do not divide over the " +
                                   std::to_string(sharing) +
                                   " tensor-parallel ranks that dispatch them (tp / etp)");
    }
  }
  groups.tokens_per_unit = workload.tokens() / sharing;
  return groups;
}

StepTraffic count_step(const RoutingSource& source, const Workload& workload,
                       const Parallelism& parallelism, const ExpertGroups& groups,
                       const ExpertPlacement& placement, std::span<const int> node_of_unit,
                       int ffn_experts, bool needs_distinct, std::uint64_t seed, int threads) {
  const std::vector<RoutedTokens> parts =
      draw(source, workload, parallelism.attention_dp, seed, threads);
  StepTraffic traffic;
  traffic.layout = even_layout(groups.units, groups.tokens_per_unit);
  const auto layers = placement.slot_expert.size();
  traffic.layers.assign(layers, std::vector<LayerCounts>(static_cast<std::size_t>(groups.groups)));
  parallel_for(layers, threads, [&](std::size_t l) {
    const int layer = static_cast<int>(l);
    std::optional<ReplicaChoice> replicas;
    if (needs_distinct) {
      replicas.emplace(placement, layer, node_of_unit);
    }
    for (int g = 0; g < groups.groups; ++g) {
      for (const RoutedTokens& part : parts) {
        count_part(part, layer, groups, g, ffn_experts, replicas ? &*replicas : nullptr,
                   traffic.layers[l][static_cast<std::size_t>(g)]);
      }
    }
  });
  return traffic;
}

std::vector<std::string> routing_warnings(const RoutingSource& source, const Workload& workload,
                                          int ranks) {
  std::vector<std::string> warnings;
  for (const BatchShape& shape : batch_shapes(workload, ranks, 0, 1)) {
    for (std::string& text : source.warnings(shape)) {
      warnings.push_back(std::move(text));
    }
  }
  if (workload.routing_sample > 0) {
    warnings.push_back(std::to_string(workload.routing_sample) + " of each rank's " +
                       std::to_string(workload.tokens()) +
                       " tokens are routed, the others counted alike");
  }
  return warnings;
}

}  // namespace moesim
