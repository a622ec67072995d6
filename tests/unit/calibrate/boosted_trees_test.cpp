#include "calibrate/fit/boosted_trees.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "calibrate/fit/erratic.h"
#include "calibrate/fit/fit_family.h"
#include "sim/core/rng.h"

using namespace moesim;

namespace {

struct Data {
  std::vector<FeatureVector> x;
  std::vector<double> target;
};

// A step in one feature and a product of two others.
double truth(const FeatureVector& x) {
  return (x[0] < 4 ? 0.2 : -0.1) + (x[1] > 2 && x[2] > 2 ? 0.3 : 0.0);
}

Data draw(std::uint64_t seed, std::size_t rows, double noise, double wild) {
  Rng rng(seed);
  Data data;
  for (std::size_t i = 0; i < rows; ++i) {
    FeatureVector x{};
    for (std::size_t f = 0; f < 3; ++f) {
      x[f] = static_cast<float>(std::floor(rng.uniform() * 8));
    }
    data.x.push_back(x);
    data.target.push_back(truth(x) + noise * rng.normal() + (rng.uniform() < wild ? 0.7 : 0.0));
  }
  return data;
}

double worst_error(const ForestDefinition& definition, const Data& data) {
  const CorrectionForest forest(definition);
  double worst = 0;
  for (const FeatureVector& x : data.x) {
    worst = std::max(worst, std::abs(forest.log_factor(x) - truth(x)));
  }
  return worst;
}

KernelRow expert_row(double tokens, double pairs, double seconds) {
  KernelRow row;
  row.shape.key.kind = KernelKind::moe;
  row.shape.dims[dim::tokens] = tokens;
  row.shape.dims[dim::pairs] = pairs;
  row.seconds = seconds;
  return row;
}

}  // namespace

TEST_CASE("trees find steps and products of steps", "[calibrate][unit]") {
  const Data data = draw(1, 2000, 0.0, 0.0);
  CHECK(worst_error(boost_trees(data.x, data.target, 3), data) < 0.005);
}

TEST_CASE("a tenth of wild rows does not move the trees", "[calibrate][unit]") {
  const Data data = draw(2, 4000, 0.01, 0.1);
  CHECK(worst_error(boost_trees(data.x, data.target, 3), data) < 0.04);
}

TEST_CASE("the same rows give the same trees", "[calibrate][unit]") {
  const Data data = draw(3, 1000, 0.05, 0.05);
  const ForestDefinition a = boost_trees(data.x, data.target, 3);
  const ForestDefinition b = boost_trees(data.x, data.target, 3);
  REQUIRE(a.trees.size() == b.trees.size());
  for (std::size_t t = 0; t < a.trees.size(); ++t) {
    CHECK(tree_text(a.trees[t]) == tree_text(b.trees[t]));
  }
}

TEST_CASE("thresholds lie between measured values", "[calibrate][unit]") {
  const Data data = draw(4, 500, 0.0, 0.0);
  for (const auto& list : boost_trees(data.x, data.target, 3).thresholds) {
    REQUIRE(list.size() == 7);
    for (std::size_t i = 0; i < list.size(); ++i) {
      CHECK(list[i] == static_cast<float>(i) + 0.5F);
    }
  }
}

TEST_CASE("a feature with many values gets as many thresholds as fit", "[calibrate][unit]") {
  Rng rng(6);
  std::vector<FeatureVector> x(5000);
  std::vector<double> target(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i][0] = static_cast<float>(rng.uniform() * 10);
    target[i] = x[i][0] < 5 ? 0.1 : -0.1;
  }
  const ForestDefinition forest = boost_trees(x, target, 1);
  CHECK(forest.thresholds[0].size() > k_max_thresholds / 2);
  CHECK(forest.thresholds[0].size() <= k_max_thresholds);
}

TEST_CASE("a slow row among normal neighbours is erratic, a slow curve is not",
          "[calibrate][unit]") {
  std::vector<KernelRow> rows;
  for (const double tokens : {8.0, 16.0, 32.0, 64.0}) {
    for (const double pairs : {10.0, 20.0, 30.0}) {
      rows.push_back(expert_row(tokens, pairs, tokens * 1.5e-6));  // all slower than predicted
    }
  }
  rows[4].seconds *= 2;    // erratic
  rows[7].seconds *= 1.2;  // within what shapes explain
  std::vector<const KernelRow*> pointers;
  std::vector<double> predicted;
  for (const KernelRow& row : rows) {
    pointers.push_back(&row);
    predicted.push_back(row.shape.dims[dim::tokens] * 1e-6);
  }
  const auto erratic = erratic_rows(pointers, predicted);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    CAPTURE(i);
    CHECK(erratic[i] == (i == 4));
  }
}

TEST_CASE("error bands hold four fifths of what they were made from", "[calibrate][property]") {
  Rng rng(8);
  std::vector<Spread> rows;
  for (int i = 0; i < 4000; ++i) {
    const double seconds = std::exp(-12 + 8 * rng.uniform());
    const double sigma = seconds < 1e-3 ? 0.02 : 0.2;  // heteroscedastic on purpose
    rows.push_back({seconds, std::abs(sigma * rng.normal())});
  }
  FittedFamily family;
  family.error_bands = error_bands(rows);
  REQUIRE(family.error_bands.size() == 8);
  CHECK(standard_error(family, 1e-5) == Approx(0.02).epsilon(0.15));
  CHECK(standard_error(family, 1e-2) == Approx(0.2).epsilon(0.15));
  CHECK(standard_error(family, 1e3) == family.error_bands.back().sigma);
  std::size_t inside = 0;
  for (const Spread& row : rows) {
    inside += row.absolute <= k_p90_of_normal * standard_error(family, row.seconds) ? 1U : 0U;
  }
  CHECK(static_cast<double>(inside) / static_cast<double>(rows.size()) == Approx(0.8).margin(0.01));
}
