// What happens next: one pending event per running task, as a 4-ary heap that knows where each
// entry is, so that an event can be moved or dropped.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace moesim::detail {

struct Event {
  double time_s = 0.0;
  std::int32_t task = 0;  // breaks ties, so that the order does not depend on the heap's history
  std::int32_t slot = 0;
};

// Slots are small integers chosen by the caller; a slot has at most one event.
class Agenda {
 public:
  [[nodiscard]] bool empty() const { return heap_.empty(); }
  [[nodiscard]] const Event& next() const { return heap_.front(); }

  // Adds the slot's event, or moves it.
  void set(const Event& event) {
    const auto slot = static_cast<std::size_t>(event.slot);
    if (slot >= position_.size()) {
      position_.resize(slot + 1, absent);
    }
    if (position_[slot] == absent) {
      heap_.push_back(event);
      rise(heap_.size() - 1, event);
    } else if (const std::size_t at = position_[slot]; before(event, heap_[at])) {
      rise(at, event);
    } else {
      sink(at, event);
    }
  }

  void pop() {
    position_[static_cast<std::size_t>(heap_.front().slot)] = absent;
    const Event last = heap_.back();
    heap_.pop_back();
    if (!heap_.empty()) {
      sink(0, last);
    }
  }

  // Drops the slot's event if it has one.
  void remove(std::int32_t slot) {
    const auto index = static_cast<std::size_t>(slot);
    if (index >= position_.size() || position_[index] == absent) {
      return;
    }
    const std::size_t at = position_[index];
    position_[index] = absent;
    const Event last = heap_.back();
    heap_.pop_back();
    if (at == heap_.size()) {
      return;
    }
    if (at > 0 && before(last, heap_[(at - 1) / arity])) {
      rise(at, last);
    } else {
      sink(at, last);
    }
  }

 private:
  static constexpr std::uint32_t absent = UINT32_MAX;
  static constexpr std::size_t arity = 4;

  static bool before(const Event& a, const Event& b) {
    // Without branches, since which event is earlier cannot be predicted; times are not negative,
    // so that their bits are ordered as they are.
    const auto first = std::bit_cast<std::uint64_t>(a.time_s);
    const auto second = std::bit_cast<std::uint64_t>(b.time_s);
    const auto earlier = static_cast<unsigned>(first < second);
    const auto tied = static_cast<unsigned>(first == second);
    return (earlier | (tied & static_cast<unsigned>(a.task < b.task))) != 0;
  }

  [[nodiscard]] std::size_t earlier(std::size_t a, std::size_t b) const {
    return before(heap_[b], heap_[a]) ? b : a;
  }

  void place(std::size_t at, const Event& event) {
    heap_[at] = event;
    position_[static_cast<std::size_t>(event.slot)] = static_cast<std::uint32_t>(at);
  }

  void rise(std::size_t at, const Event& event) {
    while (at > 0) {
      const std::size_t parent = (at - 1) / arity;
      if (!before(event, heap_[parent])) {
        break;
      }
      place(at, heap_[parent]);
      at = parent;
    }
    place(at, event);
  }

  void sink(std::size_t at, const Event& event) {
    while (true) {
      const std::size_t first = at * arity + 1;
      if (first >= heap_.size()) {
        break;
      }
      std::size_t least = first;
      if (first + arity <= heap_.size()) {  // a tournament: shorter chains of comparisons
        least = earlier(earlier(first, first + 1), earlier(first + 2, first + 3));
      } else {
        for (std::size_t child = first + 1; child < heap_.size(); ++child) {
          least = earlier(least, child);
        }
      }
      if (!before(heap_[least], event)) {
        break;
      }
      place(at, heap_[least]);
      at = least;
    }
    place(at, event);
  }

  std::vector<Event> heap_;
  std::vector<std::uint32_t> position_;  // by slot
};

}  // namespace moesim::detail
