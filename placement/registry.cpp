// Every placement policy, in the order in which they are documented.
#include <array>

#include "placement/base_policies.h"
#include "placement/placement.h"
#include "placement/redundancy.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

using HomeRule = std::vector<int> (*)(const PlacementInput&, int layer);

ExpertPlacement with_homes(const PlacementInput& input, HomeRule rule) {
  ensure(input.devices > 0 && input.experts > 0 && input.redundant >= 0,
         "a placement problem has devices and experts");
  std::vector<std::vector<int>> homes;
  for (int l = 0; l < input.layers; ++l) {
    homes.push_back(rule(input, l));
  }
  ExpertPlacement placement;
  placement.experts = input.experts;
  placement.devices = input.devices;
  placement.first_slot.push_back(0);
  for (const int slots : slots_per_device(input, homes)) {
    placement.first_slot.push_back(placement.first_slot.back() + slots);
  }
  const std::vector<double> uniform(static_cast<std::size_t>(input.experts), 1.0);
  for (std::size_t l = 0; l < homes.size(); ++l) {
    placement.slot_expert.push_back(
        layer_slots(input, homes[l], placement.first_slot,
                    input.expected_load.empty() ? uniform : input.expected_load[l]));
  }
  check_placement(placement);
  return placement;
}

ExpertPlacement place_contiguous(const PlacementInput& input) {
  return with_homes(input, contiguous_devices);
}
ExpertPlacement place_round_robin(const PlacementInput& input) {
  return with_homes(input, round_robin_devices);
}

constexpr std::array policies{
    PlacementPolicyEntry{"contiguous", "expert e on device e * devices / experts",
                         place_contiguous},
    PlacementPolicyEntry{"round_robin", "expert e on device e mod devices", place_round_robin},
};

}  // namespace

std::span<const PlacementPolicyEntry> placement_policies() { return policies; }

void check_placement(const ExpertPlacement& placement) {
  ensure(placement.first_slot.size() == static_cast<std::size_t>(placement.devices) + 1,
         "a placement has slots for every device");
  for (const auto& slots : placement.slot_expert) {
    ensure(slots.size() == static_cast<std::size_t>(placement.slots()),
           "a layer fills the placement's slots");
    std::vector<int> last_device(static_cast<std::size_t>(placement.experts), -1);
    for (int d = 0; d < placement.devices; ++d) {
      const auto begin =
          static_cast<std::size_t>(placement.first_slot[static_cast<std::size_t>(d)]);
      const auto end =
          static_cast<std::size_t>(placement.first_slot[static_cast<std::size_t>(d) + 1]);
      for (std::size_t s = begin; s < end; ++s) {
        if (slots[s] < 0) {
          continue;
        }
        ensure(slots[s] < placement.experts, "a slot holds an expert of the model");
        int& last = last_device[static_cast<std::size_t>(slots[s])];
        ensure(last != d, "no device holds one expert twice");
        last = d;
      }
    }
    for (const int device : last_device) {
      ensure(device >= 0, "every expert has a slot");
    }
  }
}

}  // namespace moesim
