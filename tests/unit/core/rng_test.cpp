// Golden values come from an independent implementation of mt19937-64 and splitmix64's finaliser;
// distributions are tested by their moments and by chi-square at fixed seeds.
#include "sim/core/rng.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "sim/core/error.h"

using namespace moesim;

namespace {

constexpr int draws = 100'000;

// Pearson's statistic of observed against expected counts.
double chi_square(const std::vector<int>& observed, const std::vector<double>& probability) {
  const double n = std::accumulate(observed.begin(), observed.end(), 0.0);
  double sum = 0;
  for (std::size_t i = 0; i < observed.size(); ++i) {
    const double expected = n * probability[i];
    sum += (observed[i] - expected) * (observed[i] - expected) / expected;
  }
  return sum;
}

// The 99.99 % quantile of chi-square with k degrees of freedom (Wilson and Hilferty 1931). The
// seeds are fixed, so a correct sampler passes for good.
double chi_square_limit(double k) {
  const double z = 3.719;
  const double root = 1 - 2 / (9 * k) + z * std::sqrt(2 / (9 * k));
  return k * root * root * root;
}

// Counts of `values` in `bins` equal slices of [0, 1).
std::vector<int> histogram(const std::vector<double>& values, std::size_t bins) {
  std::vector<int> counts(bins);
  for (const double value : values) {
    ++counts.at(static_cast<std::size_t>(value * static_cast<double>(bins)));
  }
  return counts;
}

template <class Draw>
std::vector<double> sample(Draw draw) {
  std::vector<double> values(draws);
  std::ranges::generate(values, draw);
  return values;
}

// The probability integral transform of a correct sample is uniform.
template <class Draw, class Cdf>
void check_distribution(Draw draw, Cdf cdf) {
  std::vector<double> values = sample(draw);
  std::ranges::transform(values, values.begin(), cdf);
  const std::size_t bins = 64;
  CHECK(chi_square(histogram(values, bins), std::vector<double>(bins, 1.0 / bins)) <
        chi_square_limit(bins - 1));
}

struct Moments {
  double mean;
  double variance;
};

Moments moments(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) {
    squares += (value - mean) * (value - mean);
  }
  return {mean, squares / (n - 1)};
}

}  // namespace

TEST_CASE("streams have the values they always had", "[core][golden]") {
  CHECK(mix64(0) == 0xe220a8397b1dcdafULL);  // published first output of splitmix64 with seed 0
  CHECK(mix64(1) == 0x910a2dec89025cc1ULL);
  // [rand.predef]: the 10000th value of a default-seeded mt19937_64.
  Rng standard(5489);
  for (int i = 1; i < 10000; ++i) {
    standard.bits();
  }
  CHECK(standard.bits() == 9981545732273789042ULL);
  CHECK(RngStreams(1).stream("routing").bits() == 0x6f0e4f08766bd5c3ULL);
  CHECK(RngStreams(1).stream("routing", 1).bits() == 0x4a5264f65ccd5d1fULL);
  CHECK(RngStreams(1).stream("arrivals").bits() == 0x2d0424603429721fULL);
  CHECK(RngStreams(2).stream("routing").bits() == 0x80f96169b0a04640ULL);
  CHECK(RngStreams(1).stream("routing").uniform() == 0.4338120837841608);
  Rng rng(42);
  for (const std::uint64_t expected : {6U, 4U, 0U, 2U, 1U, 8U, 6U, 4U, 0U, 7U, 5U, 2U}) {
    CHECK(rng.below(10) == expected);
  }
  // The mathematical library may differ in the last digit.
  Rng pair(42);
  CHECK(pair.normal() == Approx(-1.0771745442782885).epsilon(1e-14));
  CHECK(pair.normal() == Approx(-1.2860634502166481).epsilon(1e-14));
}

TEST_CASE("streams depend on seed, name and index, and on nothing else", "[core][property]") {
  const RngStreams streams(GENERATE(range(std::uint64_t{0}, std::uint64_t{20})));
  CHECK(streams.stream("a", 3).bits() == streams.stream("a", 3).bits());
  std::vector<std::uint64_t> first;
  for (const char* name : {"", "a", "b", "ab", "ba", "routing", "arrivals"}) {
    for (std::uint64_t index = 0; index < 50; ++index) {
      first.push_back(streams.stream(name, index).bits());
    }
  }
  std::ranges::sort(first);
  CHECK(std::ranges::adjacent_find(first) == first.end());
}

TEST_CASE("uniform draws fill [0, 1)", "[core][property]") {
  Rng rng(GENERATE(1U, 2U, 3U));
  const auto values = sample([&] { return rng.uniform(); });
  CHECK(std::ranges::min(values) >= 0);
  CHECK(std::ranges::max(values) < 1);
  const auto [mean, variance] = moments(values);
  // Five standard errors: sqrt(1/12/n) and, for the variance, sqrt((1/80 - 1/144)/n).
  CHECK(mean == Approx(0.5).margin(5 * std::sqrt(1.0 / 12 / draws)));
  CHECK(variance == Approx(1.0 / 12).margin(5 * std::sqrt((1.0 / 80 - 1.0 / 144) / draws)));
  Rng again(7);
  check_distribution([&] { return again.uniform(); }, [](double x) { return x; });
}

TEST_CASE("below(n) is uniform for any n", "[core][property]") {
  const std::uint64_t n = GENERATE(1U, 2U, 3U, 7U, 10U, 256U, 1000U);
  Rng rng(n);
  std::vector<int> counts(n);
  for (int i = 0; i < draws; ++i) {
    ++counts.at(rng.below(n));
  }
  if (n > 1) {
    CHECK(chi_square(counts, std::vector<double>(n, 1.0 / static_cast<double>(n))) <
          chi_square_limit(static_cast<double>(n) - 1));
  } else {
    CHECK(counts[0] == draws);
  }
}

TEST_CASE("below(n) has no modulo bias", "[core][unit]") {
  // For n = 3 * 2^62, plain `bits() % n` gives values below 2^62 with probability 1/2, not 1/3.
  const std::uint64_t n = 3ULL << 62U;
  Rng rng(5);
  int low = 0;
  for (int i = 0; i < 9000; ++i) {
    low += rng.below(n) < (1ULL << 62U) ? 1 : 0;
  }
  CHECK(low == Approx(3000).margin(5 * std::sqrt(9000 * 2.0 / 9)));
  CHECK_THROWS_AS(rng.below(0), InvariantError);
}

TEST_CASE("normal draws are normal", "[core][property]") {
  Rng rng(11);
  check_distribution(
      [&] { return rng.normal(); },
      [](double x) { return std::min(0.5 * std::erfc(-x / std::sqrt(2.0)), 1 - 1e-12); });
  // The two values of one Box-Muller pair are independent: their product's mean is 0 +- 1/sqrt(n).
  double product = 0;
  for (int i = 0; i < draws; ++i) {
    const double first = rng.normal();
    product += first * rng.normal();
  }
  CHECK(product / draws == Approx(0).margin(5 / std::sqrt(draws)));
}

TEST_CASE("exponential draws are exponential", "[core][property]") {
  Rng rng(12);
  check_distribution([&] { return rng.exponential(); },
                     [](double x) { return std::min(1 - std::exp(-x), 1 - 1e-12); });
}

TEST_CASE("gamma draws have the moments of their shape", "[core][property]") {
  const double shape = GENERATE(0.1, 0.5, 1.0, 2.0, 4.5, 100.0);
  CAPTURE(shape);
  Rng rng(13);
  const auto values = sample([&] { return rng.gamma(shape); });
  CHECK(std::ranges::min(values) >= 0);
  const auto [mean, variance] = moments(values);
  // Mean and variance are the shape; the fourth central moment is 3 k^2 + 6 k.
  CHECK(mean == Approx(shape).margin(5 * std::sqrt(shape / draws)));
  CHECK(variance == Approx(shape).margin(5 * std::sqrt((2 * shape * shape + 6 * shape) / draws)));
}

TEST_CASE("gamma draws of whole shapes follow Erlang's law", "[core][property]") {
  Rng rng(14);
  check_distribution(
      [&] { return rng.gamma(3); },
      [](double x) { return std::min(1 - std::exp(-x) * (1 + x + x * x / 2), 1 - 1e-12); });
  // Shape 1/2: gamma is half a squared normal, so its CDF is erf(sqrt(x)).
  check_distribution([&] { return rng.gamma(0.5); },
                     [](double x) { return std::min(std::erf(std::sqrt(x)), 1 - 1e-12); });
  CHECK_THROWS_AS(rng.gamma(0), InvariantError);
  CHECK_THROWS_AS(rng.gamma(-1), InvariantError);
  CHECK_THROWS_AS(rng.gamma(std::numeric_limits<double>::infinity()), InvariantError);
}

TEST_CASE("categorical draws follow their weights", "[core][property]") {
  const std::vector<double> weights{1, 0, 3, 0.5, 2.5, 0, 5};
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  const Categorical categorical(weights);
  Rng rng(15);
  std::vector<int> counts(weights.size());
  for (int i = 0; i < draws; ++i) {
    ++counts.at(categorical(rng));
  }
  std::vector<int> observed;
  std::vector<double> probability;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] > 0) {
      observed.push_back(counts[i]);
      probability.push_back(weights[i] / sum);
    }
  }
  CHECK(chi_square(observed, probability) <
        chi_square_limit(static_cast<double>(observed.size()) - 1));
}

TEST_CASE("an index without weight is never drawn", "[core][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{50}));
  CAPTURE(seed);
  Rng rng(seed);
  // Few positive weights of very different sizes, at the ends or not; sometimes subnormal ones.
  std::vector<double> weights(2 + rng.below(12));
  const double scale = rng.below(4) == 0 ? std::numeric_limits<double>::denorm_min() : 1.0;
  for (double& weight : weights) {
    weight = rng.below(3) == 0 ? scale * std::exp2(static_cast<double>(rng.below(4))) : 0.0;
  }
  weights[rng.below(weights.size())] = scale;
  const Categorical categorical(weights);
  for (int i = 0; i < 1000; ++i) {
    CHECK(weights.at(categorical(rng)) > 0);
  }
}

TEST_CASE("weights that make no distribution are refused", "[core][unit]") {
  using Weights = std::vector<double>;
  CHECK_THROWS_AS(Categorical(Weights{}), InvariantError);
  CHECK_THROWS_AS(Categorical(Weights{0, 0}), InvariantError);
  CHECK_THROWS_AS(Categorical(Weights{1, -1}), InvariantError);
  CHECK_THROWS_AS(Categorical(Weights{1, std::numeric_limits<double>::quiet_NaN()}),
                  InvariantError);
  CHECK_THROWS_AS(Categorical(Weights{1, std::numeric_limits<double>::infinity()}), InvariantError);
  CHECK_THROWS_AS(Categorical(Weights{1e308, 1e308}), InvariantError);
}

TEST_CASE("shuffle gives every permutation the same chance", "[core][property]") {
  Rng rng(16);
  std::vector<int> counts(24);
  for (int i = 0; i < draws; ++i) {
    std::array<int, 4> values{0, 1, 2, 3};
    shuffle(std::span<int>(values), rng);
    // The permutation's number in lexical order.
    std::size_t number = 0;
    for (std::size_t a = 0; a < 4; ++a) {
      const auto smaller_after = std::count_if(values.begin() + static_cast<std::ptrdiff_t>(a),
                                               values.end(), [&](int v) { return v < values[a]; });
      number = number * (4 - a) + static_cast<std::size_t>(smaller_after);
    }
    ++counts.at(number);
  }
  CHECK(chi_square(counts, std::vector<double>(24, 1.0 / 24)) < chi_square_limit(23));
}
