// Which of a cache's slots holds which expert, with the least recently used one as victim. The
// layer that really runs and its simulation use this one, so that both miss at the same places.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace moesim {

class LruIndex {
 public:
  // slots >= 1
  explicit LruIndex(std::size_t slots);

  struct Touch {
    std::size_t slot = 0;
    bool hit = false;  // false: the caller must fill the slot
  };
  Touch touch(std::int64_t key);

 private:
  struct Slot {
    std::int64_t key = -1;
    std::uint64_t used = 0;  // 0: empty
  };
  std::vector<Slot> slots_;
  std::uint64_t clock_ = 0;
};

}  // namespace moesim
