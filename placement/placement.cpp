#include "placement/placement.h"

#include "sim/core/error.h"

namespace moesim {

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
