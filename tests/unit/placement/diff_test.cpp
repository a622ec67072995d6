#include <set>

#include <catch2/catch.hpp>

#include "placement/diff.h"
#include "random_placement.h"
#include "sim/core/error.h"

using namespace moesim;
using test::random_placement;

namespace {

const MoveCost cost{2, 10.0, 5.0, 1.0};

std::set<std::pair<int, int>> pairs_of(const ExpertPlacement& placement, std::size_t layer) {
  std::set<std::pair<int, int>> pairs;
  for (std::size_t g = 0; g + 1 < placement.first_slot.size(); ++g) {
    for (int s = placement.first_slot[g]; s < placement.first_slot[g + 1]; ++s) {
      const int e = placement.slot_expert[layer][static_cast<std::size_t>(s)];
      if (e >= 0) {
        pairs.insert({static_cast<int>(g), e});
      }
    }
  }
  return pairs;
}

}  // namespace

TEST_CASE("what moves, by hand", "[placement][unit]") {
  // Four devices in two nodes, one slot each. Experts 0 and 1 swap inside node 0 (2 s each way at
  // 10 B / 5 B/s); device 3 gets expert 0 instead of 2's twin, from node 0 (10 s at 1 B/s).
  const ExpertPlacement before{3, 4, {0, 1, 2, 3, 4}, {{0, 1, 2, 2}}};
  const ExpertPlacement after{3, 4, {0, 1, 2, 3, 4}, {{1, 0, 2, 0}}};
  const PlacementDiff diff = diff_placements(before, after, cost, "test");
  REQUIRE(diff.moves.size() == 3);
  CHECK(diff.moves[0].to == 0);
  CHECK(diff.moves[0].from == 1);
  CHECK(diff.moves[2].from == 0);
  CHECK(diff.moves[2].across_nodes);
  CHECK(diff.total.kept == 1);
  CHECK(diff.total.loaded == 3);
  CHECK(diff.total.dropped == 3);
  CHECK(diff.loaded == std::vector<int>{1, 1, 0, 1});
  CHECK(diff.dropped == std::vector<int>{1, 1, 0, 1});
  CHECK(diff.intra_bytes == 20.0);
  CHECK(diff.inter_bytes == 10.0);
  CHECK(diff.seconds == 10.0);
}

TEST_CASE("copies come from different holders where several are near", "[placement][unit]") {
  // Devices 0 and 1 hold expert 0; 2 and 3, of the other node, both want it: one from each.
  const ExpertPlacement before{2, 4, {0, 1, 2, 3, 4}, {{0, 0, 1, 1}}};
  const ExpertPlacement after{2, 4, {0, 1, 2, 3, 4}, {{1, 0, 0, 0}}};
  const PlacementDiff diff = diff_placements(before, after, cost, "test");
  REQUIRE(diff.moves.size() == 3);
  CHECK(diff.moves[1].from == 0);
  CHECK(diff.moves[2].from == 1);
  // Two copies into node 1 and one out of it, each through ports of their own: one copy's time.
  CHECK(diff.seconds == 10.0);
}

TEST_CASE("a device's slots may be shuffled for nothing", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{20}));
  CAPTURE(seed);
  Rng rng(seed);
  const ExpertPlacement before = random_placement(rng, {.equal_slots = false, .full = false});
  ExpertPlacement after = before;
  for (auto& row : after.slot_expert) {
    for (std::size_t g = 0; g + 1 < after.first_slot.size(); ++g) {
      const auto first = static_cast<std::size_t>(after.first_slot[g]);
      shuffle(
          std::span(row).subspan(first, static_cast<std::size_t>(after.first_slot[g + 1]) - first),
          rng);
    }
  }
  const PlacementDiff diff = diff_placements(before, after, cost, "test");
  CHECK(diff.moves.empty());
  CHECK(diff.bytes == 0.0);
  CHECK(diff.seconds == 0.0);
  CHECK(diff.total.dropped == 0);
}

TEST_CASE("moves turn one placement into the other, and no fewer would", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{80}));
  CAPTURE(seed);
  Rng rng(seed);
  test::PlacementShape shape{.equal_slots = false, .full = false};
  const ExpertPlacement before = random_placement(rng, shape);
  shape.experts = before.experts;
  shape.layers = static_cast<int>(before.slot_expert.size());
  const ExpertPlacement after = random_placement(rng, shape);  // its own number of devices
  const PlacementDiff diff = diff_placements(before, after, cost, "test");
  std::vector<int> loaded(diff.loaded.size(), 0);
  std::size_t move = 0;
  double port = 0.0;  // no port takes less than the mean
  for (std::size_t l = 0; l < before.slot_expert.size(); ++l) {
    const auto old_pairs = pairs_of(before, l);
    const auto new_pairs = pairs_of(after, l);
    std::set<std::pair<int, int>> now;
    for (const auto& pair : old_pairs) {
      if (new_pairs.contains(pair)) {
        now.insert(pair);
      }
    }
    CHECK(diff.layers[l].kept == static_cast<int>(now.size()));
    CHECK(diff.layers[l].dropped == static_cast<int>(old_pairs.size() - now.size()));
    for (; move < diff.moves.size() && diff.moves[move].layer == static_cast<int>(l); ++move) {
      const ExpertMove& m = diff.moves[move];
      CHECK(old_pairs.contains({m.from, m.expert}));
      CHECK(now.insert({m.to, m.expert}).second);  // nothing is loaded twice or in vain
      CHECK(m.across_nodes == (m.from / 2 != m.to / 2));
      if (m.across_nodes) {  // nobody nearer had it
        CHECK_FALSE(old_pairs.contains({m.to / 2 * 2, m.expert}));
        CHECK_FALSE(old_pairs.contains({m.to / 2 * 2 + 1, m.expert}));
      }
      ++loaded[static_cast<std::size_t>(m.to)];
    }
    CHECK(now == new_pairs);
  }
  CHECK(move == diff.moves.size());
  CHECK(loaded == diff.loaded);
  CHECK(diff.bytes == static_cast<double>(diff.moves.size()) * 10.0);
  CHECK(diff.intra_bytes + diff.inter_bytes == diff.bytes);
  const auto devices = static_cast<double>(diff.loaded.size());
  port = std::max(diff.intra_bytes / 5.0, diff.inter_bytes / 1.0) / devices;
  CHECK(diff.seconds >= port);
  CHECK(diff.seconds <= std::max(diff.intra_bytes / 5.0, diff.inter_bytes / 1.0));
}

TEST_CASE("placements of different models have no difference", "[placement][unit]") {
  const ExpertPlacement a{2, 1, {0, 2}, {{0, 1}}};
  const ExpertPlacement b{3, 1, {0, 3}, {{0, 1, 2}}};
  CHECK_THROWS_WITH(diff_placements(a, b, cost, "A and B"), Catch::Contains("A and B: the first"));
}
