#include "calibrate/cpu/moe_layer.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <system_error>

#include "calibrate/cpu/host_lowering.h"
#include "support.h"
#include "tests/support/temporary_folder.h"

using namespace moesim;

namespace {

// Sums of some hundred fp32 products against double precision.
constexpr double k_tolerance = 2e-5;

bool has_processors(int wanted) {
  if (static_cast<int>(usable_processors().size()) >= wanted) {
    return true;
  }
  WARN("skipped: needs " << wanted << " processors");
  return false;
}

}  // namespace

TEST_CASE("a layer computes what the plain reference does", "[calibrate_cpu][property]") {
  const auto kinds = test::all_kinds();
  const MoeConfig config = kinds[GENERATE_REF(range(std::size_t{0}, kinds.size()))];
  CAPTURE(describe(config));
  if (!has_processors(config.threads())) {
    return;
  }
  use_one_blas_thread();
  ThreadTeam team(config.threads());
  const WeightPool pool(std::int64_t{1} << 20, 0.2F);
  const MoePlan plan = make_plan(config);
  MoeLayers layers(plan, pool, team, nullptr);
  // Passes are alike: nothing is left over from the one before.
  for (int pass = 0; pass < 3; ++pass) {
    CHECK(layers.run().seconds > 0);
    CHECK(deviation_from_reference(layers, plan, pool, 1000) < k_tolerance);
  }
  for (std::size_t s = 0; s < plan.steps.size(); ++s) {
    for (const int before : plan.steps[s].after) {
      CHECK(layers.step_times()[s].start_s >=
            layers.step_times()[static_cast<std::size_t>(before)].end_s);
    }
  }
}

TEST_CASE("experts from disk give the same, with the misses that are predicted",
          "[calibrate_cpu][property]") {
  MoeConfig config = test::small_model();
  config.ranks = GENERATE(1, 2);
  config.cache_experts = GENERATE(1, 5, 16);
  config.home = GENERATE(ExpertHome::disk, ExpertHome::page_cache);
  CAPTURE(describe(config));
  if (!has_processors(config.ranks)) {
    return;
  }
  use_one_blas_thread();
  ThreadTeam team(config.ranks);
  const WeightPool pool(std::int64_t{1} << 20, 0.2F);
  const test::TemporaryFolder folder;
  const ExpertFile file(folder.path().string(), pool, pool.bytes());
  const MoePlan plan = make_plan(config);
  MoeLayers layers(plan, pool, team, &file);
  layers.run();
  layers.run();  // as the prediction: with the caches that a pass leaves behind
  CHECK(deviation_from_reference(layers, plan, pool, 1000) < k_tolerance);
  CHECK(layers.disk_reads() == lower_plan(plan, test::made_up_host()).disk_reads);
  if (config.cache_experts == 16) {
    CHECK(layers.disk_reads() == 0);
  }
}

TEST_CASE("a read that fails ends the run on all threads", "[calibrate_cpu][unit]") {
  if (!has_processors(2)) {
    return;
  }
  MoeConfig config = test::small_model();
  config.ranks = 2;
  config.home = ExpertHome::page_cache;
  config.cache_experts = 1;
  ThreadTeam team(2);
  const WeightPool pool(std::int64_t{1} << 20, 0.2F);
  CHECK_THROWS_AS(ExpertFile("/nonexistent", pool, pool.bytes()), std::system_error);
  const std::function<void(int)> failing = [](int rank) {
    if (rank == 1) {
      throw std::system_error(std::make_error_code(std::errc::io_error), "read");
    }
  };
  CHECK_THROWS_AS(team.run(2, failing), std::system_error);
  CHECK(team.run(2, [](int) {}).seconds >= 0);  // and it can go on
}

TEST_CASE("widened products equal those of the widened weights", "[calibrate_cpu][unit]") {
  use_one_blas_thread();
  constexpr std::int64_t in = 128;
  constexpr std::int64_t out = 70;  // no whole number of blocks
  const auto rows = GENERATE(std::int64_t{1}, std::int64_t{3}, std::int64_t{9});
  std::vector<std::int8_t> narrow(out * in);
  std::vector<std::uint16_t> half(out * in);
  std::vector<float> scales(out);
  std::vector<float> wide(out * in);
  std::vector<float> wide_half(out * in);
  for (std::size_t i = 0; i < narrow.size(); ++i) {
    narrow[i] = static_cast<std::int8_t>(static_cast<int>(i * 37 % 255) - 127);
    scales[i / in] = 0.01F * static_cast<float>(1 + i / in % 5);
    wide[i] = static_cast<float>(narrow[i]) * scales[i / in];
    // 1.0 to 1.99 in steps of 2^-7: bf16 holds them exactly.
    half[i] = static_cast<std::uint16_t>(0x3f80 + i % 128);
    wide_half[i] = 1.0F + static_cast<float>(i % 128) / 128.0F;
  }
  std::vector<float> x(static_cast<std::size_t>(rows * in));
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(i % 7) - 3.0F;
  }
  std::vector<float> block(k_dequantised_rows * in);
  std::vector<float> y(static_cast<std::size_t>(rows * out));
  std::vector<float> expected(y.size());
  linear_int8(x.data(), rows, in, narrow.data(), scales.data(), out, block.data(), y.data());
  linear(x.data(), rows, in, wide.data(), out, expected.data());
  for (std::size_t i = 0; i < y.size(); ++i) {
    CHECK(y[i] == Approx(expected[i]).margin(1e-3));
  }
  linear_bf16(x.data(), rows, in, half.data(), out, block.data(), y.data());
  linear(x.data(), rows, in, wide_half.data(), out, expected.data());
  for (std::size_t i = 0; i < y.size(); ++i) {
    CHECK(y[i] == Approx(expected[i]).margin(1e-3));
  }
}

// With equal keys every position weighs the same: the result is the mean of the values.
TEST_CASE("attention over equal keys is the mean of the values", "[calibrate_cpu][unit]") {
  use_one_blas_thread();
  const AttentionShape shape{4, 2, 8, 5};
  const std::vector<float> query(4 * 8, 0.3F);
  const std::vector<float> keys(2 * 5 * 8, 0.7F);
  std::vector<float> values(2 * 5 * 8);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i / 8 % 5);  // position 0..4, mean 2
  }
  std::vector<float> scores(4 * 5);
  std::vector<float> out(4 * 8);
  attention_decode(shape, query.data(), keys.data(), values.data(), scores.data(), out.data());
  for (const float value : out) {
    CHECK(value == Approx(2.0F));
  }
}
