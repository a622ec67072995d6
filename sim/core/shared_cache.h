// Values that are made once and shared: what catalogs hold is read for the first who asks.
#pragma once

#include <map>
#include <memory>
#include <mutex>

namespace moesim {

// Thread-safe. Nothing is ever dropped, so keys must be few.
template <class Key, class Value>
class SharedCache {
 public:
  // make() returns a shared_ptr<const Value>; it is called at most once at a time per key, and
  // again only if it threw. Others who ask for the same key wait; other keys do not.
  template <class Make>
  std::shared_ptr<const Value> get(const Key& key, Make make) const {
    Slot& slot = slot_of(key);
    const std::scoped_lock lock(slot.mutex);
    if (slot.value == nullptr) {
      slot.value = make();
    }
    return slot.value;
  }

 private:
  struct Slot {
    std::mutex mutex;
    std::shared_ptr<const Value> value;
  };

  Slot& slot_of(const Key& key) const {
    const std::scoped_lock lock(mutex_);
    return slots_[key];  // never moves
  }

  mutable std::mutex mutex_;
  mutable std::map<Key, Slot> slots_;
};

}  // namespace moesim
