#include "placement/redundancy.h"

#include <algorithm>
#include <numeric>

namespace moesim {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

// How many replicas each expert gets in total (>= 1), never more than there are devices.
std::vector<int> replica_counts(const PlacementInput& input, std::span<const double> load) {
  std::vector<int> count(at(input.experts), 1);
  for (int r = 0; r < input.redundant; ++r) {
    int hottest = -1;
    for (int e = 0; e < input.experts; ++e) {
      if (count[at(e)] < input.devices &&
          (hottest < 0 || load[at(e)] / count[at(e)] > load[at(hottest)] / count[at(hottest)])) {
        hottest = e;
      }
    }
    if (hottest < 0) {
      break;  // every device already holds every expert
    }
    ++count[at(hottest)];
  }
  return count;
}

// One layer under construction.
struct LayerState {
  std::vector<std::int32_t> slot;
  std::vector<int> next_slot;  // per device: first free slot
  std::vector<double> device_load;

  [[nodiscard]] bool holds(int expert, int device, std::span<const int> first_slot) const {
    const auto begin = slot.begin() + first_slot[at(device)];
    const auto end = slot.begin() + next_slot[at(device)];
    return std::find(begin, end, expert) != end;
  }
  void put(int expert, int device, double load) {
    slot[at(next_slot[at(device)]++)] = expert;
    device_load[at(device)] += load;
  }
};

}  // namespace

std::vector<int> slots_per_device(const PlacementInput& input,
                                  const std::vector<std::vector<int>>& homes) {
  const int total = input.experts + input.redundant;
  std::vector<int> slots(at(input.devices), total / input.devices);
  for (int d = 0; d < total % input.devices; ++d) {
    ++slots[at(d)];
  }
  for (const auto& home : homes) {
    std::vector<int> used(at(input.devices), 0);
    for (const int device : home) {
      ++used[at(device)];
    }
    for (int d = 0; d < input.devices; ++d) {
      slots[at(d)] = std::max(slots[at(d)], used[at(d)]);
    }
  }
  return slots;
}

std::vector<std::int32_t> layer_slots(const PlacementInput& input, std::span<const int> home,
                                      std::span<const int> first_slot,
                                      std::span<const double> expected_load) {
  const std::vector<int> count = replica_counts(input, expected_load);
  LayerState state{std::vector<std::int32_t>(at(first_slot[at(input.devices)]), -1),
                   std::vector<int>(first_slot.begin(), first_slot.end() - 1),
                   std::vector<double>(at(input.devices), 0.0)};
  std::vector<int> replicas;  // expert of each extra replica
  for (int e = 0; e < input.experts; ++e) {
    state.put(e, home[at(e)], expected_load[at(e)] / count[at(e)]);
    replicas.insert(replicas.end(), at(count[at(e)] - 1), e);
  }
  std::ranges::stable_sort(replicas, [&](int a, int b) {
    return expected_load[at(a)] / count[at(a)] > expected_load[at(b)] / count[at(b)];
  });
  for (const int e : replicas) {
    int best = -1;
    for (int d = 0; d < input.devices; ++d) {
      const bool has_room = state.next_slot[at(d)] < first_slot[at(d) + 1];
      if (has_room && !state.holds(e, d, first_slot) &&
          (best < 0 || state.device_load[at(d)] < state.device_load[at(best)])) {
        best = d;
      }
    }
    if (best >= 0) {  // else the expert is on every device that has room: the slot stays empty
      state.put(e, best, expected_load[at(e)] / count[at(e)]);
    }
  }
  return state.slot;
}

}  // namespace moesim
