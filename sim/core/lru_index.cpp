#include "sim/core/lru_index.h"

#include "sim/core/error.h"

namespace moesim {

LruIndex::LruIndex(std::size_t slots) : ring_(slots + 1) {
  ensure(slots >= 1, "a cache has at least one slot");
  const auto end = static_cast<std::uint32_t>(slots);
  for (std::uint32_t i = 0; i <= end; ++i) {  // slot 0 is the oldest
    ring_[i].newer = i == end ? 0 : i + 1;
    ring_[i].older = i == 0 ? end : i - 1;
  }
}

void LruIndex::move_to_front(std::uint32_t slot) {
  const auto end = static_cast<std::uint32_t>(ring_.size() - 1);
  ring_[ring_[slot].newer].older = ring_[slot].older;
  ring_[ring_[slot].older].newer = ring_[slot].newer;
  const std::uint32_t newest = ring_[end].older;
  ring_[slot].older = newest;
  ring_[slot].newer = end;
  ring_[newest].newer = slot;
  ring_[end].older = slot;
}

LruIndex::Touch LruIndex::touch(std::int64_t key) {
  const auto found = slot_of_.find(key);
  if (found != slot_of_.end()) {
    move_to_front(found->second);
    return {found->second, true};
  }
  const std::uint32_t victim = ring_.back().newer;  // the oldest
  Slot& slot = ring_[victim];
  if (slot.filled) {
    slot_of_.erase(slot.key);
  }
  slot.key = key;
  slot.filled = true;
  slot_of_.emplace(key, victim);
  move_to_front(victim);
  return {victim, false};
}

}  // namespace moesim
