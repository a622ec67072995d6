// Random MoE layers for the tests of traffic and all-to-all: uneven layouts, replicas, zero-cost
// experts.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "sim/core/rng.h"
#include "sim/engine/exchange/traffic.h"

namespace moesim {

struct RandomLayer {
  int ranks = 1;
  int ranks_per_node = 1;
  int top_k = 1;
  int experts = 1;
  int zero_cost_experts = 0;
  TokenLayout layout;
  std::vector<std::uint16_t> ids;
  ExpertPlacement placement;
  std::vector<int> node_of_rank;

  [[nodiscard]] LayerPicks picks() const { return {ids, top_k, experts}; }
  [[nodiscard]] int nodes() const { return ranks / ranks_per_node; }
};

inline int draw(Rng& rng, int low, int high) {
  return low + static_cast<int>(rng.below(static_cast<std::uint64_t>(high - low + 1)));
}

// Every expert once, in random order over the devices, then replicas wherever a device has a slot
// left and does not hold the expert yet.
inline ExpertPlacement random_placement(Rng& rng, int experts, int devices, int slots_per_device) {
  ExpertPlacement placement;
  placement.experts = experts;
  placement.devices = devices;
  std::vector<std::vector<std::int32_t>> held(static_cast<std::size_t>(devices));
  std::vector<std::int32_t> order(static_cast<std::size_t>(experts));
  std::iota(order.begin(), order.end(), 0);
  shuffle(std::span(order), rng);
  for (std::size_t i = 0; i < order.size(); ++i) {
    held[i % held.size()].push_back(order[i]);
  }
  for (auto& device : held) {
    while (static_cast<int>(device.size()) < slots_per_device &&
           static_cast<int>(device.size()) < experts && rng.uniform() < 0.9) {
      const auto expert = static_cast<std::int32_t>(draw(rng, 0, experts - 1));
      if (std::ranges::find(device, expert) == device.end()) {
        device.push_back(expert);
      }
    }
  }
  placement.first_slot = {0};
  placement.slot_expert.resize(1);
  for (const auto& device : held) {
    placement.slot_expert[0].insert(placement.slot_expert[0].end(), device.begin(), device.end());
    placement.first_slot.push_back(static_cast<int>(placement.slot_expert[0].size()));
  }
  return placement;
}

inline RandomLayer random_layer_on(Rng& rng, int nodes, int ranks_per_node) {
  RandomLayer layer;
  layer.ranks_per_node = ranks_per_node;
  layer.ranks = nodes * ranks_per_node;
  layer.experts = draw(rng, 1, 40);
  layer.zero_cost_experts = rng.uniform() < 0.3 ? draw(rng, 1, 10) : 0;
  layer.top_k = draw(rng, 1, std::min(8, layer.experts));
  layer.layout.first = {0};
  for (int r = 0; r < layer.ranks; ++r) {
    layer.layout.first.push_back(layer.layout.first.back() +
                                 (rng.uniform() < 0.1 ? 0 : draw(rng, 1, 60)));
    layer.node_of_rank.push_back(r / layer.ranks_per_node);
  }
  std::vector<std::uint16_t> all(static_cast<std::size_t>(layer.experts + layer.zero_cost_experts));
  std::iota(all.begin(), all.end(), std::uint16_t{0});
  for (std::int64_t t = 0; t < layer.layout.tokens(); ++t) {
    shuffle(std::span(all), rng);
    layer.ids.insert(layer.ids.end(), all.begin(), all.begin() + layer.top_k);
  }
  layer.placement =
      random_placement(rng, layer.experts, layer.ranks,
                       (layer.experts + layer.ranks - 1) / layer.ranks + draw(rng, 0, 3));
  return layer;
}

inline RandomLayer random_layer(std::uint64_t seed) {
  Rng rng = RngStreams(seed).stream("layer");
  const int nodes = draw(rng, 1, 5);
  return random_layer_on(rng, nodes, draw(rng, 1, 8));
}

}  // namespace moesim
