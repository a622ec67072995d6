// Where experts live: per layer, which expert each slot of each device holds.
#pragma once

#include <cstdint>
#include <vector>

namespace moesim {

// Plain data; changes over time by being replaced. Slots of device d: [first_slot[d],
// first_slot[d+1]).
struct ExpertPlacement {
  int experts = 0;
  int devices = 0;
  std::vector<int> first_slot;                         // devices + 1 entries
  std::vector<std::vector<std::int32_t>> slot_expert;  // [layer][slot] -> expert, or -1: empty

  [[nodiscard]] int slots() const { return first_slot.empty() ? 0 : first_slot.back(); }
};

// Throws InvariantError unless every expert of every layer has at least one slot, no device holds
// one expert twice, and sizes agree.
void check_placement(const ExpertPlacement& placement);

}  // namespace moesim
