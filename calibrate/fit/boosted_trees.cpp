#include "calibrate/fit/boosted_trees.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/kernels/kernel_profile.h"
#include "sim/core/error.h"
#include "sim/core/quantile.h"

namespace moesim {
namespace {

// Residuals beyond this weigh as their sign, smaller ones in proportion: absolute loss with a
// differentiable middle.
constexpr double k_scale = 0.02;
constexpr double k_regularisation = 1.0;  // rows without a residual, in every leaf

struct Sum {
  double gradient = 0;
  double rows = 0;
  [[nodiscard]] double score() const { return gradient * gradient / (rows + k_regularisation); }
};

// Thresholds between neighbouring values; between quantiles where there are too many values.
std::vector<float> thresholds_of(std::span<const FeatureVector> x, std::size_t feature) {
  std::vector<float> values;
  values.reserve(x.size());
  for (const FeatureVector& row : x) {
    values.push_back(row[feature]);
  }
  std::ranges::sort(values);
  std::vector<float> distinct = values;
  distinct.erase(std::ranges::unique(distinct).begin(), distinct.end());
  std::vector<float> thresholds;
  const auto add = [&thresholds](float below, float above) {
    const auto middle = static_cast<float>(rounded_threshold((double{below} + double{above}) / 2));
    const bool between = below < middle && middle <= above;
    if (between && (thresholds.empty() || middle > thresholds.back())) {
      thresholds.push_back(middle);
    }
  };
  if (distinct.size() <= k_max_thresholds + 1) {
    for (std::size_t i = 1; i < distinct.size(); ++i) {
      add(distinct[i - 1], distinct[i]);
    }
    return thresholds;
  }
  for (std::size_t i = 1; i <= k_max_thresholds; ++i) {
    const float value = values[i * values.size() / (k_max_thresholds + 1)];
    const auto place = std::ranges::lower_bound(distinct, value);
    if (place != distinct.begin()) {
      add(*(place - 1), *place);
    }
  }
  return thresholds;
}

struct Split {
  double gain = 0;
  std::size_t feature = 0;
  std::size_t threshold = 0;
};

struct Node {
  std::vector<std::uint32_t> rows;
  std::vector<Sum> histogram;  // [feature][bin]; emptied once the node is split
  Split best;                  // no gain: none
  std::size_t left = 0;        // index of a child; 0: a leaf
  std::size_t right = 0;
};

class Booster {
 public:
  Booster(std::span<const FeatureVector> x, std::span<const double> target, std::size_t features,
          const BoostOptions& options)
      : options_(options), features_(features), residual_(target.begin(), target.end()) {
    for (std::size_t f = 0; f < features; ++f) {
      forest_.thresholds.push_back(thresholds_of(x, f));
    }
    bins_.resize(x.size() * features);
    for (std::size_t i = 0; i < x.size(); ++i) {
      for (std::size_t f = 0; f < features; ++f) {
        const auto& t = forest_.thresholds[f];
        bins_[i * features + f] =
            static_cast<std::uint8_t>(std::ranges::upper_bound(t, x[i][f]) - t.begin());
      }
    }
  }

  ForestDefinition run() {
    for (std::size_t t = 0; t < options_.trees; ++t) {
      const CorrectionTree tree = grow();
      if (tree.size() < 2) {
        break;  // nothing left that a split explains
      }
      forest_.trees.push_back(tree);
    }
    return std::move(forest_);
  }

 private:
  static constexpr std::size_t k_bins = k_max_thresholds + 1;

  void fill_histogram(Node& node) const {
    node.histogram.assign(features_ * k_bins, {});
    for (const std::uint32_t row : node.rows) {
      const double gradient = gradient_[row];
      for (std::size_t f = 0; f < features_; ++f) {
        Sum& sum = node.histogram[f * k_bins + bins_[row * features_ + f]];
        sum.gradient += gradient;
        sum.rows += 1;
      }
    }
  }

  void find_split(Node& node) const {
    node.best = {};
    Sum total;
    for (std::size_t b = 0; b < k_bins; ++b) {
      total.gradient += node.histogram[b].gradient;
      total.rows += node.histogram[b].rows;
    }
    const auto least = static_cast<double>(options_.least_rows);
    for (std::size_t f = 0; f < features_; ++f) {
      Sum left;
      for (std::size_t b = 0; b < forest_.thresholds[f].size(); ++b) {
        left.gradient += node.histogram[f * k_bins + b].gradient;
        left.rows += node.histogram[f * k_bins + b].rows;
        const Sum right{total.gradient - left.gradient, total.rows - left.rows};
        if (left.rows < least || right.rows < least) {
          continue;
        }
        const double gain = left.score() + right.score() - total.score();
        if (gain > std::max(node.best.gain, 1e-9)) {
          node.best = Split{gain, f, b};
        }
      }
    }
  }

  // Splits nodes[parent] at its best split.
  void split(std::vector<Node>& nodes, std::size_t parent) const {
    const Split at = nodes[parent].best;
    Node left;
    Node right;
    for (const std::uint32_t row : nodes[parent].rows) {
      Node& side = bins_[row * features_ + at.feature] <= at.threshold ? left : right;
      side.rows.push_back(row);
    }
    Node& smaller = left.rows.size() <= right.rows.size() ? left : right;
    Node& larger = &smaller == &left ? right : left;
    fill_histogram(smaller);
    larger.histogram = std::move(nodes[parent].histogram);
    for (std::size_t i = 0; i < larger.histogram.size(); ++i) {
      larger.histogram[i].gradient -= smaller.histogram[i].gradient;
      larger.histogram[i].rows -= smaller.histogram[i].rows;
    }
    find_split(left);
    find_split(right);
    nodes[parent].left = nodes.size();
    nodes[parent].right = nodes.size() + 1;
    nodes.push_back(std::move(left));
    nodes.push_back(std::move(right));
  }

  CorrectionTree grow() {
    gradient_.resize(residual_.size());
    for (std::size_t i = 0; i < residual_.size(); ++i) {
      gradient_[i] = std::clamp(residual_[i] / k_scale, -1.0, 1.0);
    }
    std::vector<Node> nodes(1);
    nodes[0].rows.resize(residual_.size());
    std::iota(nodes[0].rows.begin(), nodes[0].rows.end(), 0U);
    fill_histogram(nodes[0]);
    find_split(nodes[0]);
    for (std::size_t leaves = 1; leaves < options_.leaves; ++leaves) {
      std::size_t best = nodes.size();
      for (std::size_t i = 0; i < nodes.size(); ++i) {
        if (nodes[i].left == 0 && nodes[i].best.gain > 0 &&
            (best == nodes.size() || nodes[i].best.gain > nodes[best].best.gain)) {
          best = i;
        }
      }
      if (best == nodes.size()) {
        break;
      }
      split(nodes, best);
    }
    CorrectionTree tree;
    emit(nodes, 0, tree);
    return tree;
  }

  // Appends the subtree in preorder and takes its leaves' values off the residuals.
  void emit(const std::vector<Node>& nodes, std::size_t index, CorrectionTree& tree) {
    const Node& node = nodes[index];
    TreeNode out;
    if (node.left != 0) {
      out.feature = static_cast<std::uint8_t>(node.best.feature);
      out.threshold = static_cast<std::uint8_t>(node.best.threshold);
      tree.push_back(out);
      emit(nodes, node.left, tree);
      emit(nodes, node.right, tree);
      return;
    }
    out.is_leaf = true;
    std::vector<double> values;
    values.reserve(node.rows.size());
    for (const std::uint32_t row : node.rows) {
      values.push_back(residual_[row]);
    }
    if (!values.empty()) {
      out.value = static_cast<std::int32_t>(
          std::lround(options_.rate * upper_median(values) / k_leaf_unit));
    }
    for (const std::uint32_t row : node.rows) {
      residual_[row] -= out.value * k_leaf_unit;
    }
    tree.push_back(out);
  }

  BoostOptions options_;
  std::size_t features_;
  ForestDefinition forest_;
  std::vector<std::uint8_t> bins_;  // [row][feature]
  std::vector<double> residual_;
  std::vector<double> gradient_;
};

}  // namespace

ForestDefinition boost_trees(std::span<const FeatureVector> x, std::span<const double> target,
                             std::size_t features, const BoostOptions& options) {
  ensure(x.size() == target.size() && features <= k_max_features, "one target per row");
  ensure(options.leaves <= k_max_tree_leaves && options.trees <= k_max_trees,
         "a forest keeps to the limits of CorrectionForest");
  return Booster(x, target, features, options).run();
}

}  // namespace moesim
