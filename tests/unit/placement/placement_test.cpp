#include <algorithm>
#include <numeric>

#include <catch2/catch.hpp>

#include "placement/placement.h"
#include "sim/core/error.h"
#include "sim/core/rng.h"

using namespace moesim;

namespace {

PlacementInput random_input(std::uint64_t seed) {
  Rng rng(seed);
  PlacementInput input;
  input.layers = 1 + static_cast<int>(rng.below(3));
  input.devices = 1 + static_cast<int>(rng.below(12));
  input.experts = 1 + static_cast<int>(rng.below(40));
  input.redundant = static_cast<int>(rng.below(20));
  for (int l = 0; l < input.layers; ++l) {
    input.expected_load.emplace_back();
    for (int e = 0; e < input.experts; ++e) {
      input.expected_load.back().push_back(rng.gamma(0.7));
    }
  }
  return input;
}

std::vector<int> copies(const ExpertPlacement& placement, std::size_t layer) {
  std::vector<int> count(static_cast<std::size_t>(placement.experts), 0);
  for (const auto e : placement.slot_expert[layer]) {
    if (e >= 0) {
      ++count[static_cast<std::size_t>(e)];
    }
  }
  return count;
}

}  // namespace

TEST_CASE("every policy gives every expert a home and spreads homes evenly",
          "[placement][property]") {
  const auto& entry =
      placement_policies()[GENERATE(range(std::size_t{0}, placement_policies().size()))];
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{60}));
  CAPTURE(entry.name, seed);
  auto input = random_input(seed);
  input.redundant = 0;
  const auto placement = entry.place(input);
  for (std::size_t l = 0; l < placement.slot_expert.size(); ++l) {
    const auto count = copies(placement, l);
    CHECK(std::ranges::all_of(count, [](int n) { return n == 1; }));
    for (int d = 0; d < input.devices; ++d) {  // no device holds more than the rounded-up average
      const auto begin = placement.slot_expert[l].begin() + placement.first_slot[std::size_t(d)];
      const auto end = placement.slot_expert[l].begin() + placement.first_slot[std::size_t(d) + 1];
      const auto held = std::count_if(begin, end, [](int e) { return e >= 0; });
      CHECK(held <= (input.experts + input.devices - 1) / input.devices);
    }
  }
}

TEST_CASE("redundant slots go to the experts with the most load per replica",
          "[placement][property]") {
  const auto& entry =
      placement_policies()[GENERATE(range(std::size_t{0}, placement_policies().size()))];
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{60}));
  CAPTURE(entry.name, seed);
  const auto input = random_input(seed);
  const auto placement = entry.place(input);
  for (std::size_t l = 0; l < placement.slot_expert.size(); ++l) {
    const auto count = copies(placement, l);
    const auto& load = input.expected_load[l];
    const int total = std::accumulate(count.begin(), count.end(), 0);
    CHECK(total <= input.experts + input.redundant);
    // A replica more would not have been better spent elsewhere: greedy optimality.
    if (total < input.experts + input.redundant) {
      continue;  // some replica found no device: nothing to compare
    }
    for (std::size_t a = 0; a < count.size(); ++a) {
      for (std::size_t b = 0; b < count.size(); ++b) {
        if (count[a] > 1 && count[b] < input.devices) {
          CHECK(load[a] / (count[a] - 1) >= load[b] / count[b]);
        }
      }
    }
  }
}

TEST_CASE("DeepSeek's production shape fills two slots on each of 144 devices", "[placement]") {
  PlacementInput input{
      .layers = 1, .experts = 256, .devices = 144, .redundant = 32, .expected_load = {}};
  input.redundant = 32;
  for (const auto& entry : placement_policies()) {
    const auto placement = entry.place(input);
    CHECK(placement.slots() == 288);
    CHECK(std::ranges::count(placement.slot_expert[0], -1) == 0);
  }
}

TEST_CASE("contiguous keeps neighbours together, round robin parts them", "[placement][unit]") {
  const PlacementInput input{
      .layers = 1, .experts = 8, .devices = 4, .redundant = 0, .expected_load = {}};
  using Slots = std::vector<std::int32_t>;
  CHECK(placement_policies()[0].place(input).slot_expert[0] == Slots{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(placement_policies()[1].place(input).slot_expert[0] == Slots{0, 4, 1, 5, 2, 6, 3, 7});
}

TEST_CASE("a broken placement is refused", "[placement][unit]") {
  ExpertPlacement placement{
      .experts = 2, .devices = 2, .first_slot = {0, 1, 2}, .slot_expert = {{0, 1}}};
  CHECK_NOTHROW(check_placement(placement));
  placement.slot_expert = {{0, 0}};  // expert 1 has no home
  CHECK_THROWS_AS(check_placement(placement), InvariantError);
  placement.first_slot = {0, 2, 2};
  placement.slot_expert = {{1, 1}};
  CHECK_THROWS_AS(check_placement(placement), InvariantError);
}
