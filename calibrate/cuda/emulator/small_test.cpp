#include <catch2/catch.hpp>

#include <algorithm>
#include <numeric>

#include "calibrate/cuda/emulator/test_values.h"
#include "calibrate/cuda/kernels/fill.h"
#include "calibrate/cuda/kernels/small.h"

using namespace moesim;
using namespace moesim::bench;
using moesim::test::Bf16;
using moesim::test::Fp8;
using moesim::test::number;

TEST_CASE("the gate chooses the largest and normalises them", "[calibrate][crosscheck]") {
  for (const int experts : {8, 64, 200, 256}) {
    constexpr int tokens = 11;
    constexpr int top_k = 6;
    CAPTURE(experts);
    const auto width = static_cast<std::size_t>(experts);
    Rng rng(5);
    auto logits = test::random_values<float>(tokens * width, rng, 5);
    // A row of ties: the lowest indices win, in order.
    std::fill_n(logits.begin(), width, 1.0F);
    std::vector<std::int32_t> chosen(tokens * top_k, -1);
    std::vector<float> weights(tokens * top_k, NAN);
    gate(logits.data(), tokens, experts, top_k, chosen.data(), weights.data(), nullptr);
    for (std::size_t token = 0; token < tokens; ++token) {
      const float* row = &logits[token * width];
      std::vector<std::int32_t> order(width);
      std::iota(order.begin(), order.end(), 0);
      std::ranges::stable_sort(order, std::greater<>(), [&](std::int32_t e) { return row[e]; });
      double sum = 0;
      for (int i = 0; i < top_k; ++i) {
        sum += std::exp(static_cast<double>(row[order[static_cast<std::size_t>(i)]]));
      }
      for (std::size_t i = 0; i < top_k; ++i) {
        REQUIRE(chosen[token * top_k + i] == order[i]);
        REQUIRE(static_cast<double>(weights[token * top_k + i]) ==
                Approx(std::exp(static_cast<double>(row[order[i]])) / sum).epsilon(1e-4));
      }
    }
  }
}

TEST_CASE("rows are normalised", "[calibrate][crosscheck]") {
  constexpr std::size_t rows = 3;
  for (const std::size_t width : {std::size_t{64}, std::size_t{1030}}) {
    Rng rng(6);
    const auto x = test::random_values<Bf16>(rows * width, rng, 3);
    const auto weight = test::random_values<Bf16>(width, rng);
    std::vector<Bf16> norm(rows * width, NAN);
    std::vector<Bf16> soft(rows * width, NAN);
    rms_norm(x.data(), weight.data(), rows, static_cast<int>(width), norm.data(), nullptr);
    softmax_rows(x.data(), rows, static_cast<int>(width), soft.data(), nullptr);
    std::vector<double> expected_norm;
    std::vector<double> expected_soft;
    for (std::size_t i = 0; i < rows * width; ++i) {
      double squares = 0;
      double sum = 0;
      for (std::size_t j = i / width * width; j < i / width * width + width; ++j) {
        squares += number(x[j]) * number(x[j]);
        sum += std::exp(number(x[j]));
      }
      expected_norm.push_back(number(x[i]) / std::sqrt(squares / static_cast<double>(width)) *
                              number(weight[i % width]));
      expected_soft.push_back(std::exp(number(x[i])) / sum);
    }
    CHECK(test::largest_error(norm, expected_norm) < 0.01);
    CHECK(test::largest_error(soft, expected_soft) < 0.001);
  }
}

TEST_CASE("formats are converted", "[calibrate][crosscheck]") {
  constexpr int m = 130;
  constexpr int k = 256;
  constexpr std::size_t count = std::size_t{m} * k;
  Rng rng(8);
  const auto x = test::random_values<Bf16>(count, rng, 7);
  float scale = NAN;
  std::vector<Fp8> small(count);
  find_scale(x.data(), count, &scale, nullptr);
  double largest = 0;
  for (const Bf16 value : x) {
    largest = std::max(largest, std::abs(number(value)));
  }
  CHECK(static_cast<double>(scale) == Approx(largest / 448));
  scale_to_fp8(x.data(), count, &scale, small.data(), nullptr);
  std::vector<double> restored;
  std::vector<double> original;
  for (std::size_t i = 0; i < count; ++i) {
    restored.push_back(number(small[i]) * static_cast<double>(scale));
    original.push_back(number(x[i]));
  }
  // Between 256 and 448 values lie 32 apart.
  CHECK(test::largest_error(restored, original) < 7.0 * 16.5 / 448);

  const auto scales = test::random_values<float>(m * 2, rng);  // 2 x 2 blocks, m x 2 groups
  std::vector<Bf16> wide(count, NAN);
  fp8_to_bf16(small.data(), m, k, scales.data(), wide.data(), nullptr);
  std::vector<double> expected;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t block = i / k / 128 * 2 + i % k / 128;
    expected.push_back(number(small[i]) * static_cast<double>(scales[block]));
  }
  CHECK(test::largest_error(wide, expected) < 448.0 / 256);

  std::vector<std::uint8_t> nibbles;
  for (std::size_t i = 0; i < count / 2; ++i) {
    nibbles.push_back(static_cast<std::uint8_t>(rng.below(256)));
  }
  int4_to_bf16(nibbles.data(), m, k, scales.data(), wide.data(), nullptr);
  for (std::size_t i = 0; i < count; ++i) {
    const int value = nibbles[i / 2] >> (4 * (i % 2)) & 15;
    expected[i] = (value - 8) * static_cast<double>(scales[i / 128]);
  }
  CHECK(test::largest_error(wide, expected) < 8.0 / 256);
}

TEST_CASE("random operands fill their range", "[calibrate][unit]") {
  std::vector<float> values(40000, NAN);
  fill_random(values.data(), values.size() * sizeof(float), Format::float32, 1, nullptr);
  const auto [low, high] = std::ranges::minmax(values);
  CHECK(low >= -1);
  CHECK(low < -0.99F);
  CHECK(high < 1);
  CHECK(high > 0.99F);
  CHECK(std::abs(std::reduce(values.begin(), values.end()) / 40000) < 0.01F);
  std::vector<Fp8> small(5000);
  fill_random(small.data(), small.size(), Format::fp8, 2, nullptr);
  for (const Fp8 value : small) {
    REQUIRE(std::abs(number(value)) <= 1);
  }
}
