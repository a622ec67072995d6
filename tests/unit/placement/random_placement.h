// Random placements for property tests.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "placement/placement.h"
#include "sim/core/rng.h"

namespace moesim::test {

struct PlacementShape {
  bool equal_slots = true;
  bool full = true;       // no empty slots
  bool distinct = false;  // no device holds an expert twice
  int devices = 0;        // 0: random, as the next two
  int experts = 0;
  int layers = 0;
};

// One layer: every expert dealt to a device, then slots filled up.
inline std::vector<std::int32_t> random_layer(Rng& rng, const PlacementShape& shape,
                                              const ExpertPlacement& placement) {
  const auto experts = static_cast<std::size_t>(placement.experts);
  const auto devices = static_cast<std::size_t>(placement.devices);
  std::vector<std::int32_t> order(experts);
  std::iota(order.begin(), order.end(), 0);
  shuffle(std::span(order), rng);
  std::vector<std::int32_t> row;
  for (std::size_t g = 0; g < devices; ++g) {
    std::vector<std::int32_t> held;
    for (std::size_t i = g; i < experts; i += devices) {
      held.push_back(order[i]);
    }
    const int slots = placement.first_slot[g + 1] - placement.first_slot[g];
    while (std::cmp_less(held.size(), slots)) {
      const auto e = static_cast<std::int32_t>(rng.below(experts));
      if (!shape.full && rng.uniform() < 0.5) {
        held.push_back(-1);
      } else if (!shape.distinct || std::ranges::find(held, e) == held.end()) {
        held.push_back(e);
      }
    }
    shuffle(std::span(held), rng);
    row.insert(row.end(), held.begin(), held.end());
  }
  return row;
}

inline ExpertPlacement random_placement(Rng& rng, const PlacementShape& shape) {
  const auto pick = [&](int given, int most) {
    return given > 0 ? given : 1 + static_cast<int>(rng.below(static_cast<std::uint64_t>(most)));
  };
  ExpertPlacement placement;
  placement.devices = pick(shape.devices, 6);
  placement.experts = pick(shape.experts, 20);
  const int least = (placement.experts + placement.devices - 1) / placement.devices;
  const int extra = static_cast<int>(rng.below(3));
  placement.first_slot.push_back(0);
  for (int g = 0; g < placement.devices; ++g) {
    const int more = shape.equal_slots ? 0 : static_cast<int>(rng.below(3));
    const int slots = least + extra + more;
    placement.first_slot.push_back(placement.first_slot.back() +
                                   (shape.distinct ? std::min(slots, placement.experts) : slots));
  }
  const int layers = pick(shape.layers, 4);
  for (int l = 0; l < layers; ++l) {
    placement.slot_expert.push_back(random_layer(rng, shape, placement));
  }
  return placement;
}

inline bool same(const ExpertPlacement& a, const ExpertPlacement& b) {
  return a.experts == b.experts && a.devices == b.devices && a.first_slot == b.first_slot &&
         a.slot_expert == b.slot_expert;
}

}  // namespace moesim::test
