#include "models/kernels/kernel_correction.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <limits>

#include "sim/core/error.h"

namespace moesim {
namespace {

// Position of the first leaf behind the subtree that starts at `node`; nodes are in preorder.
struct Span {
  std::size_t end_node;
  std::size_t leaves;
};
Span subtree(const CorrectionTree& tree, std::size_t node) {
  std::size_t open = 1;
  std::size_t leaves = 0;
  while (open > 0) {
    ensure(node < tree.size(), "a correction tree's nodes are complete");
    if (tree[node].is_leaf) {
      ++leaves;
      --open;
    } else {
      ++open;
    }
    ++node;
  }
  return {node, leaves};
}

}  // namespace

std::string tree_text(const CorrectionTree& tree) {
  std::string text;
  for (const TreeNode& node : tree) {
    if (!text.empty()) {
      text += ' ';
    }
    if (node.is_leaf) {
      text += std::to_string(node.value);
    } else {
      text += static_cast<char>('a' + node.feature);
      text += std::to_string(node.threshold);
    }
  }
  return text;
}

CorrectionTree parse_tree(std::string_view text, const std::vector<std::vector<float>>& thresholds,
                          const std::string& where) {
  CorrectionTree tree;
  std::size_t open = 1;  // nodes still to come
  std::size_t leaves = 0;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    TreeNode node;
    node.is_leaf = word.empty() || word[0] < 'a' || word[0] > 'z';
    const std::string_view digits = node.is_leaf ? word : word.substr(1);
    int number = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (read.ec != std::errc() || read.ptr != digits.data() + digits.size()) {
      throw ConfigError(where, "'" + std::string(word) + "' is no node of a tree; expected a " +
                                   "letter and a number, or a whole number");
    }
    if (open == 0) {
      throw ConfigError(where, "goes on behind the tree's last node");
    }
    if (node.is_leaf) {
      node.value = number;
      leaves += 1;
      open -= 1;
    } else {
      node.feature = static_cast<std::uint8_t>(word[0] - 'a');
      if (node.feature >= thresholds.size() || number < 0 ||
          static_cast<std::size_t>(number) >= thresholds[node.feature].size()) {
        throw ConfigError(where, "'" + std::string(word) + "' names a threshold that there is not");
      }
      node.threshold = static_cast<std::uint8_t>(number);
      open += 1;
    }
    tree.push_back(node);
  }
  if (open != 0 || leaves > k_max_tree_leaves) {
    throw ConfigError(where,
                      open != 0 ? "ends before the tree does"
                                : "has more than " + std::to_string(k_max_tree_leaves) + " leaves");
  }
  return tree;
}

CorrectionForest::CorrectionForest(ForestDefinition definition,
                                   std::optional<std::size_t> interpolated_feature)
    : definition_(std::move(definition)), interpolated_feature_(interpolated_feature) {
  if (definition_.interpolated.size() < 2) {
    interpolated_feature_.reset();
  }
  const std::size_t trees = definition_.trees.size();
  ensure(trees <= k_max_trees && definition_.thresholds.size() <= k_max_features,
         "a correction has few trees and features");
  std::vector<std::size_t> axis_of(definition_.thresholds.size(), 0);
  for (std::size_t f = 0; f < definition_.thresholds.size(); ++f) {
    const auto& thresholds = definition_.thresholds[f];
    ensure(thresholds.size() <= k_max_thresholds, "a feature has few thresholds");
    if (thresholds.empty()) {
      continue;
    }
    axis_of[f] = used_.size();
    used_.push_back(f);
    Axis axis;
    axis.thresholds.fill(std::numeric_limits<float>::infinity());
    std::ranges::copy(thresholds, axis.thresholds.begin());
    for (std::size_t b = 0; b < k_block; ++b) {
      axis.last_of_block[b] = axis.thresholds[b * k_block + k_block - 1];
    }
    TreeMasks all;
    all.fill(~std::uint64_t{0});
    axis.reachable.assign(thresholds.size() + 1, all);
    axes_.push_back(std::move(axis));
  }
  leaves_.resize(k_max_trees);
  for (std::size_t t = 0; t < trees; ++t) {
    const CorrectionTree& tree = definition_.trees[t];
    std::size_t leaf = 0;
    for (std::size_t n = 0; n < tree.size(); ++n) {
      if (tree[n].is_leaf) {
        ensure(leaf < k_max_tree_leaves, "a correction tree has few leaves");
        leaves_[t][leaf++] = tree[n].value;
        continue;
      }
      // Where the test fails, the left subtree's leaves cannot be reached.
      const std::size_t left = subtree(tree, n + 1).leaves;
      const std::uint64_t lost = (left >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << left) - 1)
                                 << leaf;
      Axis& axis = axes_.at(axis_of[tree[n].feature]);
      for (std::size_t i = tree[n].threshold + 1U; i < axis.reachable.size(); ++i) {
        axis.reachable[i][t] &= ~lost;
      }
    }
  }
}

// Counting in two steps of fixed length takes no branch that could be mispredicted.
std::size_t CorrectionForest::interval_of(const Axis& axis, float x) {
  static_assert(k_block * k_block == k_max_thresholds + 1);
  x = std::min(x, std::numeric_limits<float>::max());  // infinity would pass the last interval
  std::uint32_t blocks = 0;
  for (std::size_t i = 0; i < k_block; ++i) {
    blocks += axis.last_of_block[i] <= x ? 1U : 0U;
  }
  const float* block = &axis.thresholds[blocks * k_block];
  std::uint32_t rest = 0;
  for (std::size_t i = 0; i < k_block; ++i) {
    rest += block[i] <= x ? 1U : 0U;
  }
  return blocks * k_block + rest;
}

std::int32_t CorrectionForest::sum_of_leaves(const FeatureVector& x) const {
  std::array<const std::uint64_t*, k_max_features> rows;
  for (std::size_t a = 0; a < axes_.size(); ++a) {
    rows[a] = axes_[a].reachable[interval_of(axes_[a], x[used_[a]])].data();
  }
  constexpr std::size_t lanes = 4;  // trees at a time, in registers
  static_assert(k_max_trees % lanes == 0);
  std::int32_t sum = 0;
  for (std::size_t first = 0; first < k_max_trees; first += lanes) {
    std::array<std::uint64_t, lanes> reachable;
    reachable.fill(~std::uint64_t{0});
    for (std::size_t a = 0; a < axes_.size(); ++a) {
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        reachable[lane] &= rows[a][first + lane];
      }
    }
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      sum += leaves_[first + lane][static_cast<std::size_t>(std::countr_zero(reachable[lane]))];
    }
  }
  return sum;
}

double CorrectionForest::log_factor(const FeatureVector& x) const {
  double sum = 0;
  const auto& values = definition_.interpolated;
  const float value = interpolated_feature_ ? x[*interpolated_feature_] : 0.0F;
  const auto above = std::ranges::lower_bound(values, value);
  if (!interpolated_feature_ || above == values.begin() || above == values.end() ||
      *above == value) {
    sum = sum_of_leaves(x);
  } else {
    const float below = *std::prev(above);
    FeatureVector neighbour = x;
    neighbour[*interpolated_feature_] = below;
    const double low = sum_of_leaves(neighbour);
    neighbour[*interpolated_feature_] = *above;
    const double high = sum_of_leaves(neighbour);
    sum = low + (high - low) * (value - below) / (*above - below);
  }
  return std::clamp(sum * k_leaf_unit, -k_largest_correction, k_largest_correction);
}

}  // namespace moesim
