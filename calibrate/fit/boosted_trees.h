// Gradient boosting of small regression trees for absolute errors (Friedman, Annals of Statistics
// 2001, LAD-TreeBoost), on binned features. The packaged libraries place their thresholds on
// measured values and not between them, and give other bits in every version.
#pragma once

#include <span>

#include "models/kernels/kernel_correction.h"

namespace moesim {

struct BoostOptions {
  std::size_t trees = k_max_trees;
  std::size_t leaves = k_max_tree_leaves;
  std::size_t least_rows = 15;  // in a leaf
  double rate = 0.25;           // share of a leaf's median residual that a tree takes
};

// Trees whose sum approximates target[i] at x[i]; features: how many entries of x are used.
// Deterministic: same input, same trees. Throws InvariantError for spans of different length.
ForestDefinition boost_trees(std::span<const FeatureVector> x, std::span<const double> target,
                             std::size_t features, const BoostOptions& options = {});

}  // namespace moesim
