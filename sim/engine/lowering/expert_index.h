// Which program does which work of routed experts: a hash table that keeps its memory.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "sim/core/rng.h"
#include "sim/flow/task_graph.h"

namespace moesim {

class ExpertIndex {
 public:
  // All that an expert kernel depends on.
  using Key = std::array<std::int64_t, 9>;

  void clear() {
    entries_.clear();
    std::ranges::fill(table_, k_free);
  }

  // The key's program; `unknown` if the key is new. Valid until the next call.
  ProgramId& at(const Key& key, ProgramId unknown) {
    if (2 * (entries_.size() + 1) > table_.size()) {
      grow();
    }
    std::int32_t& place = find(key);
    if (place == k_free) {
      place = static_cast<std::int32_t>(entries_.size());
      entries_.push_back({key, unknown});
    }
    return entries_[static_cast<std::size_t>(place)].program;
  }

 private:
  struct Entry {
    Key key;
    ProgramId program = 0;
  };
  static constexpr std::int32_t k_free = -1;

  std::int32_t& find(const Key& key) {
    std::uint64_t hash = 0;
    for (const std::int64_t part : key) {
      hash = hash * 0x9e3779b97f4a7c15ULL + static_cast<std::uint64_t>(part);
    }
    const std::size_t mask = table_.size() - 1;
    std::size_t i = mix64(hash) & mask;
    while (table_[i] != k_free && entries_[static_cast<std::size_t>(table_[i])].key != key) {
      i = (i + 1) & mask;
    }
    return table_[i];
  }

  void grow() {
    table_.assign(std::max<std::size_t>(256, 2 * table_.size()), k_free);
    for (std::size_t e = 0; e < entries_.size(); ++e) {
      find(entries_[e].key) = static_cast<std::int32_t>(e);
    }
  }

  std::vector<Entry> entries_;
  std::vector<std::int32_t> table_;  // entry, or free; a power of two, at most half full
};

}  // namespace moesim
