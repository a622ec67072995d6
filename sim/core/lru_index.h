// Which of a cache's slots holds which key, with the least recently used one as victim. What really
// runs and its simulation use this one, so that both miss at the same places.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace moesim {

class LruIndex {
 public:
  // slots >= 1; fewer than 2^32
  explicit LruIndex(std::size_t slots);

  struct Touch {
    std::size_t slot = 0;
    bool hit = false;  // false: the caller must fill the slot
  };
  // O(1). Empty slots are filled in order.
  Touch touch(std::int64_t key);

 private:
  void move_to_front(std::uint32_t slot);

  // A ring through all slots, from the oldest to the newest; between these two stands the last
  // element, which is no slot.
  struct Slot {
    std::int64_t key = 0;
    std::uint32_t older = 0;
    std::uint32_t newer = 0;
    bool filled = false;
  };
  std::vector<Slot> ring_;
  std::unordered_map<std::int64_t, std::uint32_t> slot_of_;
};

}  // namespace moesim
