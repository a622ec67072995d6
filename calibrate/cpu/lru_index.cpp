#include "calibrate/cpu/lru_index.h"

#include <algorithm>

#include "sim/core/error.h"

namespace moesim {

LruIndex::LruIndex(std::size_t slots) : slots_(slots) {
  ensure(slots >= 1, "a cache has at least one slot");
}

LruIndex::Touch LruIndex::touch(std::int64_t key) {
  auto found = std::ranges::find(slots_, key, &Slot::key);
  const bool hit = found != slots_.end();
  if (!hit) {
    found = std::ranges::min_element(slots_, {}, &Slot::used);
    found->key = key;
  }
  found->used = ++clock_;
  return {static_cast<std::size_t>(found - slots_.begin()), hit};
}

}  // namespace moesim
