// What a form leaves unexplained: a sum of small regression trees over logarithms of the shape,
// fitted to ln(measured/form). Kernels switch tile shapes, split counts and code paths at sizes
// that no smooth formula follows; trees do, and stay bounded outside of what they have seen.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/kernels/kernel_form.h"

namespace moesim {

inline constexpr std::size_t k_max_features = 12;
inline constexpr std::size_t k_max_tree_leaves = 64;
inline constexpr std::size_t k_max_trees = 24;
inline constexpr std::size_t k_max_thresholds = 63;  // per feature
// No correction goes further than this factor (logarithm), up or down.
inline constexpr double k_largest_correction = 0.7;

using FeatureVector = std::array<float, k_max_features>;

// What the trees of this kind of kernel may ask for.
std::span<const std::string_view> feature_names(KernelKind kind);

// The feature with kernels of their own per value (head_dim); nullopt for kinds without.
std::optional<std::size_t> interpolated_feature(KernelKind kind);

// Sizes enter as piecewise linear logarithms to base 2. `form` is the form's own estimate.
FeatureVector features_of(const KernelShape& shape, const KernelEstimate& form,
                          const KernelContext& context);

// Exact at powers of two, linear in between; x > 0.
float log2_coordinate(double x);

// One inner node sends x to its left child when x[feature] < thresholds[feature][threshold].
struct TreeNode {
  bool is_leaf = false;
  std::uint8_t feature = 0;
  std::uint8_t threshold = 0;  // index
  std::int32_t value = 0;      // of a leaf: logarithm of a factor, in units of k_leaf_unit
};
inline constexpr double k_leaf_unit = 1e-4;

// Nodes in preorder, left child first.
using CorrectionTree = std::vector<TreeNode>;

struct ForestDefinition {
  std::vector<std::vector<float>> thresholds;  // per feature, ascending
  std::vector<CorrectionTree> trees;
  // The few values of interpolated_feature() that were fitted, ascending; empty: it has none. Each
  // value has kernels of its own, so that another one lies between its neighbours and not beside
  // the nearer.
  std::vector<float> interpolated;
};

// "b12" asks feature 1 for threshold 12; a bare integer is a leaf, in units of k_leaf_unit.
std::string tree_text(const CorrectionTree& tree);
// Throws ConfigError(where, ...) for text that is no tree over these thresholds.
CorrectionTree parse_tree(std::string_view text, const std::vector<std::vector<float>>& thresholds,
                          const std::string& where);

// Evaluates all trees at once: every interval of a feature knows, as one bit mask per tree, which
// leaves it leaves reachable; the lowest bit of the conjunction is the leaf (QuickScorer, SIGIR
// 2015). Immutable, thread-safe.
class CorrectionForest {
 public:
  // Throws InvariantError for more trees, leaves or thresholds than the limits above.
  explicit CorrectionForest(ForestDefinition definition,
                            std::optional<std::size_t> interpolated_feature = {});

  // Logarithm of measured/form, within +-k_largest_correction.
  [[nodiscard]] double log_factor(const FeatureVector& x) const;
  [[nodiscard]] const ForestDefinition& definition() const { return definition_; }

 private:
  using TreeMasks = std::array<std::uint64_t, k_max_trees>;
  static constexpr std::size_t k_block = 8;

  // Intervals of one feature: interval i holds x with exactly i thresholds <= x.
  struct Axis {
    std::array<float, k_max_thresholds + 1> thresholds{};  // filled up with infinity
    std::array<float, k_block> last_of_block{};
    std::vector<TreeMasks> reachable;  // [interval]
  };
  [[nodiscard]] static std::size_t interval_of(const Axis& axis, float x);

  [[nodiscard]] std::int32_t sum_of_leaves(const FeatureVector& x) const;

  ForestDefinition definition_;
  std::optional<std::size_t> interpolated_feature_;
  std::vector<std::size_t> used_;  // features that some tree asks for
  std::vector<Axis> axes_;         // of used_
  // In units of k_leaf_unit: k_max_trees rows, zeros where there is no tree.
  std::vector<std::array<std::int32_t, k_max_tree_leaves>> leaves_;
};

}  // namespace moesim
