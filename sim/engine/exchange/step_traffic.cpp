#include "sim/engine/exchange/step_traffic.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "sim/core/thread_pool.h"

namespace moesim {
namespace {

std::int32_t whole_weight(const RoutedTokens& part) {
  const auto weight = static_cast<std::int32_t>(part.token_weight);
  ensure(static_cast<double>(weight) == part.token_weight && weight >= 1,
         "a routed token stands for a whole number of tokens");
  return weight;
}

// Of a layout over all units, the part of one group, starting at 0.
TokenLayout of_group(const TokenLayout& all, const RankMap& ranks, int group) {
  const auto first = static_cast<std::size_t>(group) * static_cast<std::size_t>(ranks.units());
  TokenLayout layout;
  for (int unit = 0; unit <= ranks.units(); ++unit) {
    layout.first.push_back(all.first[first + static_cast<std::size_t>(unit)] - all.first[first]);
  }
  return layout;
}

void add_weighted(const TokenLayout& part, std::int64_t weight, TokenLayout& sum) {
  sum.first.resize(part.first.size(), 0);
  for (std::size_t i = 0; i < part.first.size(); ++i) {
    sum.first[i] += weight * part.first[i];
  }
}

// Tokens of `group` only.
void count_part(const RoutedPart& part, int layer, const RankMap& ranks, int group, int ffn_experts,
                TrafficCounter& counter) {
  const auto k = static_cast<std::size_t>(part.tokens.top_k);
  const auto first = part.layout.first[static_cast<std::size_t>(group * ranks.units())];
  const TokenLayout layout = of_group(part.layout, ranks, group);
  const auto ids = part.tokens.layer(layer).subspan(static_cast<std::size_t>(first) * k,
                                                    static_cast<std::size_t>(layout.tokens()) * k);
  counter.add({ids, part.tokens.top_k, ffn_experts}, layout, whole_weight(part.tokens));
}

}  // namespace

std::int64_t StepTraffic::most_tokens() const {
  std::int64_t most = 0;
  const auto look_at = [&most](const TokenLayout& tokens) {
    for (int r = 0; r < tokens.ranks(); ++r) {
      most = std::max(most, tokens.tokens_of(r));
    }
  };
  std::ranges::for_each(home, look_at);
  for (const auto& groups : resident) {
    for (const ResidentLayer& layer : groups) {
      look_at(layer.after);
    }
  }
  return most;
}

std::int64_t StepTraffic::most_pairs() const {
  std::int64_t most = 0;
  for (const auto& groups : layers) {
    for (const LayerTraffic& traffic : groups) {
      for (const ExpertLoad& load : traffic.load) {
        most = std::max(most, load.pairs);
      }
    }
  }
  return most;
}

std::vector<ReplicaChoice> replica_choices(const ExpertPlacement& placement,
                                           std::span<const int> node_of_unit) {
  std::vector<ReplicaChoice> choices;
  for (std::size_t l = 0; l < placement.slot_expert.size(); ++l) {
    choices.emplace_back(placement, static_cast<int>(l), node_of_unit);
  }
  return choices;
}

TokenLayout unit_layout(const TokenLayout& attention, int sharing) {
  TokenLayout units;
  units.first = {0};
  for (int rank = 0; rank < attention.ranks(); ++rank) {
    const std::int64_t tokens = attention.tokens_of(rank);
    for (int unit = 0; unit < sharing; ++unit) {
      units.first.push_back(units.first.back() + tokens / sharing +
                            (unit < tokens % sharing ? 1 : 0));
    }
  }
  return units;
}

StepTraffic count_parts(std::span<const RoutedPart> parts, const RankMap& ranks,
                        std::span<const ReplicaChoice> replicas, bool needs_distinct, int threads) {
  const auto group_count = static_cast<std::size_t>(ranks.expert_groups());
  StepTraffic traffic;
  traffic.home.resize(group_count);
  for (const RoutedPart& part : parts) {
    ensure(part.layout.ranks() == ranks.expert_groups() * ranks.units() &&
               part.layout.tokens() == part.tokens.tokens(),
           "every token of a step is on a unit");
    for (int g = 0; g < ranks.expert_groups(); ++g) {
      add_weighted(of_group(part.layout, ranks, g), whole_weight(part.tokens),
                   traffic.home[static_cast<std::size_t>(g)]);
    }
  }
  traffic.layers.assign(replicas.size(), std::vector<LayerTraffic>(group_count));
  parallel_for(replicas.size(), threads, [&](std::size_t l) {
    TrafficCounter counter;
    for (int g = 0; g < ranks.expert_groups(); ++g) {
      counter.begin(replicas[l], needs_distinct, traffic.layers[l][static_cast<std::size_t>(g)]);
      for (const RoutedPart& part : parts) {
        count_part(part, static_cast<int>(l), ranks, g, replicas[l].experts(), counter);
      }
      counter.finish();
    }
  });
  return traffic;
}

}  // namespace moesim
