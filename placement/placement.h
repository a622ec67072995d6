// Where experts live: per layer, which expert each slot of each device holds.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
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

struct PlacementInput {
  int layers = 0;
  int experts = 0;
  int devices = 0;
  int redundant = 0;  // extra replicas per layer
  // Expected load [layer][expert], for choosing replicas; empty: uniform.
  std::vector<std::vector<double>> expected_load;
};

struct PlacementPolicyEntry {
  std::string_view name;
  std::string_view summary;
  ExpertPlacement (*place)(const PlacementInput&);
};

// Every policy, in the order in which they are documented.
std::span<const PlacementPolicyEntry> placement_policies();

// Throws InvariantError unless every expert of every layer has at least one slot, no device holds
// one expert twice, and sizes agree.
void check_placement(const ExpertPlacement& placement);

}  // namespace moesim
