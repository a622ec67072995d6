#include "models/kernels/kernel_correction.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "sim/core/error.h"
#include "sim/core/rng.h"

using namespace moesim;
using Catch::Matchers::Contains;

namespace {

// Appends a random subtree with at most `leaves` leaves; returns how many it has.
std::size_t grow(Rng& rng, const std::vector<std::vector<float>>& thresholds, std::size_t leaves,
                 CorrectionTree& tree) {
  TreeNode node;
  if (leaves < 2 || rng.uniform() < 0.02) {
    node.is_leaf = true;
    node.value = static_cast<std::int32_t>(rng.uniform() * 401) - 200;
    tree.push_back(node);
    return 1;
  }
  do {
    node.feature =
        static_cast<std::uint8_t>(rng.uniform() * static_cast<double>(thresholds.size()));
  } while (thresholds[node.feature].empty());
  node.threshold = static_cast<std::uint8_t>(rng.uniform() *
                                             static_cast<double>(thresholds[node.feature].size()));
  tree.push_back(node);
  const std::size_t left = grow(rng, thresholds, leaves / 2, tree);
  return left + grow(rng, thresholds, leaves - leaves / 2, tree);
}

// The plain meaning of a tree: walk it.
std::int32_t walk(const ForestDefinition& forest, const CorrectionTree& tree, std::size_t& node,
                  const FeatureVector& x, bool taken) {
  const TreeNode here = tree[node++];
  if (here.is_leaf) {
    return taken ? here.value : 0;
  }
  const bool left = x[here.feature] < forest.thresholds[here.feature][here.threshold];
  const std::int32_t a = walk(forest, tree, node, x, taken && left);
  return a + walk(forest, tree, node, x, taken && !left);
}

ForestDefinition random_forest(Rng& rng) {
  ForestDefinition forest;
  forest.thresholds.resize(2 + static_cast<std::size_t>(rng.uniform() * 10));
  for (auto& list : forest.thresholds) {
    const auto count = static_cast<std::size_t>(rng.uniform() * (k_max_thresholds + 1));
    float value = -5;
    for (std::size_t i = 0; i < count; ++i) {
      value += 0.1F + static_cast<float>(rng.uniform());
      list.push_back(value);
    }
  }
  forest.thresholds[1].assign(1, 0.5F);  // at least one feature can be asked
  forest.trees.resize(1 + static_cast<std::size_t>(rng.uniform() * k_max_trees));
  for (CorrectionTree& tree : forest.trees) {
    grow(rng, forest.thresholds, k_max_tree_leaves, tree);
  }
  return forest;
}

}  // namespace

TEST_CASE("a forest says what walking its trees says", "[models][property]") {
  Rng rng(5);
  int full = 0;
  for (int round = 0; round < 60; ++round) {
    const ForestDefinition definition = random_forest(rng);
    const CorrectionForest forest(definition);
    for (const CorrectionTree& tree : definition.trees) {
      full += tree.size() == 2 * k_max_tree_leaves - 1 ? 1 : 0;
    }
    for (int point = 0; point < 50; ++point) {
      FeatureVector x{};
      for (std::size_t f = 0; f < definition.thresholds.size(); ++f) {
        const auto& list = definition.thresholds[f];
        // Half of the points lie on a threshold, where < and <= differ.
        const bool on = !list.empty() && rng.uniform() < 0.5;
        x[f] = on ? list[static_cast<std::size_t>(rng.uniform() * static_cast<double>(list.size()))]
                  : static_cast<float>(rng.uniform() * 60 - 10);
      }
      std::int32_t sum = 0;
      for (const CorrectionTree& tree : definition.trees) {
        std::size_t node = 0;
        sum += walk(definition, tree, node, x, true);
      }
      const double expected =
          std::clamp(sum * k_leaf_unit, -k_largest_correction, k_largest_correction);
      REQUIRE(forest.log_factor(x) == expected);
    }
  }
  CHECK(full > 0);  // trees with all 64 leaves, whose masks use every bit, were among them
}

TEST_CASE("a correction is bounded", "[models][unit]") {
  ForestDefinition definition;
  definition.thresholds = {{1.0F}};
  definition.trees.assign(3, parse_tree("a0 -9000 9000", definition.thresholds, "t"));
  const CorrectionForest forest(definition);
  CHECK(forest.log_factor({0.0F}) == -k_largest_correction);
  CHECK(forest.log_factor({1.0F}) == k_largest_correction);
  CHECK(forest.log_factor({std::numeric_limits<float>::infinity()}) == k_largest_correction);
}

TEST_CASE("between two fitted values the corrections of both are mixed", "[models][unit]") {
  ForestDefinition definition;
  definition.thresholds = {{}, {6.5F, 7.5F}};
  definition.trees.assign(1, parse_tree("b0 1000 b1 2000 4000", definition.thresholds, "t"));
  definition.interpolated = {6, 7, 8};
  const CorrectionForest forest(definition, 1);
  const auto at = [&](float value) { return forest.log_factor({0.0F, value}); };
  CHECK(at(7) == 2000 * k_leaf_unit);
  CHECK(at(7.25F) == Approx(2500 * k_leaf_unit));
  CHECK(at(6.5F) == Approx(1500 * k_leaf_unit));
  CHECK(at(5) == 1000 * k_leaf_unit);  // outside: the nearest
  CHECK(at(9) == 4000 * k_leaf_unit);
  CHECK(CorrectionForest(definition).log_factor({0.0F, 7.25F}) == 2000 * k_leaf_unit);
}

TEST_CASE("a tree's text reads back", "[models][unit]") {
  const std::vector<std::vector<float>> thresholds{{1, 2}, {}, {3}};
  const std::string text = "a1 c0 -12 7 a0 0 30";
  CHECK(tree_text(parse_tree(text, thresholds, "t")) == text);
}

TEST_CASE("text that is no tree is refused", "[models][unit]") {
  const std::vector<std::vector<float>> thresholds{{1, 2}, {}, {3}};
  const auto [text, message] =
      GENERATE(table<std::string, std::string>({{"", "ends before"},
                                                {"a0 1", "ends before"},
                                                {"a0 1 2 3", "goes on"},
                                                {"a2 1 2", "there is not"},
                                                {"b0 1 2", "there is not"},
                                                {"d0 1 2", "there is not"},
                                                {"a-1 1 2", "there is not"},
                                                {"a0 1.5 2", "no node"},
                                                {"a0 1  2", "no node"},
                                                {"a 1 2", "no node"},
                                                {"a99999999999 1 2", "no node"}}));
  CAPTURE(text);
  CHECK_THROWS_WITH(parse_tree(text, thresholds, "p#/t"), Contains(message) && Contains("p#/t"));
}

TEST_CASE("a tree has at most as many leaves as a mask has bits", "[models][unit]") {
  const std::vector<std::vector<float>> thresholds{{1}};
  std::string text = "1";
  for (std::size_t leaf = 1; leaf < k_max_tree_leaves; ++leaf) {
    text = "a0 " + text + " 1";
  }
  CHECK_NOTHROW(parse_tree(text, thresholds, "t"));
  CHECK_THROWS_WITH(parse_tree("a0 " + text + " 1", thresholds, "t"), Contains("more than 64"));
}

TEST_CASE("the coordinate is the logarithm at powers of two and rises between",
          "[models][property]") {
  for (int e = -20; e <= 40; ++e) {
    CHECK(log2_coordinate(std::ldexp(1.0, e)) == static_cast<float>(e));
  }
  CHECK(log2_coordinate(3.0) == 1.5F);
  double x = 1e-6;
  for (int i = 0; i < 400; ++i, x *= 1.09) {
    CHECK(log2_coordinate(x) < log2_coordinate(x * 1.09));
    CHECK(std::abs(log2_coordinate(x) - std::log2(x)) < 0.087);  // 1 - log2(e ln 2) - ...
  }
}

TEST_CASE("features are finite for every kind of kernel", "[models][property]") {
  KernelContext context;
  context.sms = 132;
  KernelEstimate estimate;
  estimate.fixed = Seconds(1e-6);
  for (std::size_t kind = 0; kind < k_kernel_kinds; ++kind) {
    KernelShape shape;
    shape.key.kind = static_cast<KernelKind>(kind);
    REQUIRE(feature_names(shape.key.kind).size() <= k_max_features);
    for (const double size : {0.0, 1.0, 1e15}) {
      shape.dims.fill(size);
      for (const float value : features_of(shape, estimate, context)) {
        CHECK((std::isfinite(value) || size == 0.0));
      }
    }
  }
}
