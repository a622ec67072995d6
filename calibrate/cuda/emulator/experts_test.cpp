#include <cuda_fp16.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <numeric>

#include "calibrate/cuda/emulator/copy_time.h"
#include "calibrate/cuda/emulator/test_values.h"
#include "calibrate/cuda/host/expert_routing.h"
#include "calibrate/cuda/kernels/activation.h"
#include "calibrate/cuda/kernels/grouped_gemm.h"
#include "calibrate/cuda/kernels/routing.h"

using namespace moesim;
using namespace moesim::bench;
using emulation::CopyTime;
using moesim::test::Bf16;
using moesim::test::Fp8;
using moesim::test::number;

namespace {

const std::vector<std::int64_t> counts{5, 0, 70, 1};
constexpr int rows = 76;
constexpr int n = 160;  // more than a tile of columns
constexpr int k = 192;  // one block of scales and a half

// Largest error relative to the root mean square of the results.
template <class T>
double grouped_error(Format format, float range) {
  Rng rng(7);
  const auto x = test::random_values<T>(rows * k, rng, range);
  const auto w = test::random_values<T>(counts.size() * n * k, rng, range);
  constexpr int k_blocks = 2;
  constexpr int n_blocks = 2;
  constexpr int x_stride = 4;
  std::vector<float> x_scales = test::random_values<float>(rows * x_stride, rng);
  std::vector<float> w_scales =
      test::random_values<float>(counts.size() * n_blocks * k_blocks, rng);
  std::vector<Bf16> out(rows * n, NAN);
  GroupedGemm gemm{format, n, k, x.data(), w.data(), out.data(), 0.5F};
  const bool blocks = format == Format::fp8_block;
  gemm.x_scales = x_scales.data();
  gemm.w_scales = w_scales.data();
  gemm.x_scale_stride = x_stride;
  const auto tiles = row_tiles(counts);
  REQUIRE(tiles.size() == 4);  // 1, 0, 2, 1
  grouped_gemm(gemm, tiles.data(), static_cast<int>(tiles.size()), nullptr);
  std::vector<double> expected;
  std::size_t row = 0;
  double squares = 0;
  for (std::size_t expert = 0; expert < counts.size(); ++expert) {
    for (std::int64_t i = 0; i < counts[expert]; ++i, ++row) {
      for (std::size_t column = 0; column < n; ++column) {
        double sum = 0;
        for (std::size_t d = 0; d < k; ++d) {
          const double scale =
              blocks ? static_cast<double>(x_scales[row * x_stride + d / 128]) *
                           static_cast<double>(
                               w_scales[(expert * n_blocks + column / 128) * k_blocks + d / 128])
                     : 0.5;
          sum += scale * number(x[row * k + d]) * number(w[(expert * n + column) * k + d]);
        }
        expected.push_back(sum);
        squares += sum * sum;
      }
    }
  }
  return test::largest_error(out, expected) / std::sqrt(squares / expected.size());
}

}  // namespace

// Results are rounded to bf16, by up to 1/64 where they are 4 to 8 times the mean; products of
// random scales spread wider.
TEST_CASE("grouped products multiply every expert's rows", "[calibrate][crosscheck]") {
  emulation::set_copy_time(GENERATE(CopyTime::latest, CopyTime::earliest));
  CHECK(grouped_error<Fp8>(Format::fp8, 1) < 0.016);
  CHECK(grouped_error<Fp8>(Format::fp8_block, 1) < 0.032);
  CHECK(grouped_error<std::int8_t>(Format::int8, 127) < 0.016);
}

TEST_CASE("tokens go to their experts and back", "[calibrate][crosscheck]") {
  const MoeCase moe{Format::bfloat16, 90, 64, 64, 4, 16, 1, 2, 1.2};
  const RankRouting routing = moved_to_slots(route_to_busiest_rank(moe, 1), 24, 1);
  const auto pairs = static_cast<std::size_t>(routing.pairs);
  std::vector<std::int32_t> offsets(25), cursors(25), row_of_pair(360), token_of_row(pairs);
  build_permutation(routing.choices.data(), 90, 4, 24, offsets.data(), cursors.data(),
                    row_of_pair.data(), token_of_row.data(), nullptr);
  CHECK(offsets.front() == 0);
  CHECK(offsets.back() == routing.pairs);
  for (std::size_t slot = 0; slot < 24; ++slot) {
    REQUIRE(offsets[slot + 1] - offsets[slot] == routing.counts[slot]);
  }
  for (std::size_t pair = 0; pair < 360; ++pair) {
    const std::int32_t slot = routing.choices[pair];
    const std::int32_t row = row_of_pair[pair];
    REQUIRE((slot < 0) == (row < 0));
    if (slot >= 0) {
      REQUIRE(row >= offsets[static_cast<std::size_t>(slot)]);
      REQUIRE(row < offsets[static_cast<std::size_t>(slot) + 1]);
      REQUIRE(token_of_row[static_cast<std::size_t>(row)] == static_cast<int>(pair / 4));
    }
  }
  Rng rng(3);
  const auto tokens = test::random_values<Bf16>(90 * 64, rng);
  const auto weights = test::random_values<float>(360, rng);
  std::vector<Bf16> permuted(pairs * 64, NAN);
  std::vector<Bf16> out(90 * 64, NAN);
  permute_rows(tokens.data(), token_of_row.data(), static_cast<int>(pairs), 128, permuted.data(),
               nullptr);
  sum_rows(permuted.data(), row_of_pair.data(), weights.data(), 90, 4, 64, false, out.data(),
           nullptr);
  // A token comes back as often as it was sent away, weighted.
  std::vector<double> expected;
  for (std::size_t i = 0; i < 90 * 64; ++i) {
    double weight = 0;
    for (std::size_t pair = i / 64 * 4; pair < i / 64 * 4 + 4; ++pair) {
      weight += row_of_pair[pair] < 0 ? 0.0 : static_cast<double>(weights[pair]);
    }
    expected.push_back(weight * number(tokens[i]));
  }
  CHECK(test::largest_error(out, expected) < 0.01);
}

TEST_CASE("SwiGLU in all formats", "[calibrate][crosscheck]") {
  constexpr int height = 3;
  constexpr int width = 1092;  // more than a block of threads, and no whole block of scales
  constexpr int blocks = 9;
  Rng rng(4);
  const auto in = test::random_values<Bf16>(height * 2 * width, rng, 4);
  std::vector<__half> in_half;
  std::vector<double> expected;
  for (const Bf16 value : in) {
    in_half.push_back(static_cast<__half>(static_cast<float>(value)));
  }
  for (std::size_t i = 0; i < height * width; ++i) {
    const std::size_t gate = i / width * 2 * width + i % width;
    const double g = number(in[gate]);
    expected.push_back(g / (1 + std::exp(-g)) * number(in[gate + width]));
  }
  std::vector<Bf16> bf16(height * width, NAN);
  swiglu(in.data(), height, width, Format::bfloat16, bf16.data(), nullptr, nullptr);
  CHECK(test::largest_error(bf16, expected) < 0.04);  // 16 / 2^9
  std::vector<__half> half(height * width, NAN);
  swiglu(in_half.data(), height, width, Format::float16, half.data(), nullptr, nullptr);
  CHECK(test::largest_error(half, expected) < 0.01);
  std::vector<Fp8> fp8(height * width);
  swiglu(in.data(), height, width, Format::fp8, fp8.data(), nullptr, nullptr);
  CHECK(test::largest_error(fp8, expected) < 0.6);  // 16 / 2^5
  std::vector<std::int8_t> int8(height * width, 99);
  swiglu(in.data(), height, width, Format::int8, int8.data(), nullptr, nullptr);
  CHECK(test::largest_error(int8, expected) <= 0.51);
  std::vector<float> scales(height * blocks, NAN);
  swiglu(in.data(), height, width, Format::fp8_block, fp8.data(), scales.data(), nullptr);
  std::vector<double> restored;
  for (std::size_t i = 0; i < fp8.size(); ++i) {
    const std::size_t block = i / width * blocks + i % width / 128;
    CHECK(std::abs(number(fp8[i])) <= 448);
    restored.push_back(number(fp8[i]) * static_cast<double>(scales[block]));
  }
  CHECK(test::largest_error(restored, expected) < 0.6);
}
