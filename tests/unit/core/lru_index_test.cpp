#include "sim/core/lru_index.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/rng.h"

using namespace moesim;

TEST_CASE("the least recently used expert leaves", "[core][unit]") {
  LruIndex lru(2);
  CHECK_FALSE(lru.touch(1).hit);
  CHECK_FALSE(lru.touch(2).hit);
  CHECK(lru.touch(1).hit);        // 2 is now the oldest
  CHECK_FALSE(lru.touch(3).hit);  // takes 2's place
  CHECK(lru.touch(1).hit);
  CHECK_FALSE(lru.touch(2).hit);
  CHECK_THROWS_AS(LruIndex(0), InvariantError);
}

// Mattson's stack: a key hits a cache of C slots if fewer than C other keys were touched since.
TEST_CASE("hits are what the reuse distance says", "[core][property]") {
  const auto seed = GENERATE(range(0, 20));
  const RngStreams streams(static_cast<std::uint64_t>(seed));
  Rng rng = streams.stream("lru");
  const std::size_t slots = 1 + rng.below(6);
  LruIndex lru(slots);
  std::vector<std::int64_t> stack;  // most recent first
  std::vector<std::int64_t> in_slot(slots, -1);
  for (int i = 0; i < 300; ++i) {
    const auto key = static_cast<std::int64_t>(rng.below(9));
    const auto found = std::ranges::find(stack, key);
    const bool expected =
        found != stack.end() && found - stack.begin() < static_cast<std::ptrdiff_t>(slots);
    if (found != stack.end()) {
      stack.erase(found);
    }
    stack.insert(stack.begin(), key);
    const LruIndex::Touch touch = lru.touch(key);
    CAPTURE(seed, i, key);
    REQUIRE(touch.hit == expected);
    REQUIRE(touch.slot < slots);
    if (touch.hit) {
      REQUIRE(in_slot[touch.slot] == key);
    }
    in_slot[touch.slot] = key;
  }
}
