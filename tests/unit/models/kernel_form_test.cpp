#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "kernel_test_support.h"
#include "models/kernels/kernel_library.h"
#include "sim/core/rng.h"

using namespace moesim;

namespace {

KernelShape gemm_shape(double m, double n, double k) {
  KernelShape shape;
  shape.key = {KernelKind::gemm, DType::bf16, DType::bf16};
  shape.dims = {m, n, k, 1};
  return shape;
}

// The dimension along which a kernel has more of the same to do.
std::size_t growing_dim(KernelKind kind) {
  switch (kind) {
    case KernelKind::attention_decode:
    case KernelKind::mla_decode:
    case KernelKind::mla_module_decode:
      return dim::context;
    default:
      return 0;  // m, tokens, sequences, bytes read
  }
}

}  // namespace

// 2*4096^3 FLOP at 1e15/s with factor 2 take 274.878 us; 3*4096^2*2 B at 1e12 B/s with factor 1.5
// take 150.995 us: compute decides, after 1 us.
TEST_CASE("a roofline is overhead plus the longer of compute and memory", "[models][unit]") {
  const KernelShape shape = gemm_shape(4096, 4096, 4096);
  const KernelContext context = kernel_context(test::round_device(), shape.key);
  const std::vector<double> c{1e-6, 2.0, 1.5};
  const KernelEstimate estimate = find_form("roofline")->evaluate(c, shape, context);
  CHECK(estimate.fixed.si() == Approx(1e-6));
  CHECK(estimate.compute.si() == Approx(274.877906944e-6));
  CHECK(estimate.memory.si() == Approx(150.994944e-6));
  CHECK(estimate.alone().si() == Approx(275.877906944e-6));
}

// 1000 x 300 x k on 100 multiprocessors with all tile terms off but arithmetic: the best tile count
// is that of 128x64 (8*5 = 40 tiles: 40 multiprocessors work on one tile each).
TEST_CASE("a product's time is that of whole tiles", "[models][unit]") {
  const KernelForm* form = find_form("gemm_tiles");
  // t0, quantise, e_mem, e_comp, l2_share, t_tile, wave, least_wave, split_max, ...
  const std::vector<double> c{0, 0, 1e-9, 1, 0, 0, 1, 1, 1, 0, 0, 0};
  const auto seconds = [&](double m, double n) {
    const KernelShape shape = gemm_shape(m, n, 1000);
    return form->evaluate(c, shape, kernel_context(test::round_device(), shape.key)).alone().si();
  };
  // One wave of the smallest tile, 64 x 32: 2*64*32*1000 FLOP at 1e13/s per multiprocessor.
  CHECK(seconds(64, 32) == Approx(0.4096e-6));
  CHECK(seconds(1, 1) == Approx(0.4096e-6));
  // 100 tiles of 64 x 32 fill the device; one more row needs 128 x 32 tiles or a second wave.
  CHECK(seconds(64 * 10, 32 * 10) == Approx(0.4096e-6));
  CHECK(seconds(64 * 10 + 1, 32 * 10) == Approx(0.8192e-6));
}

// Only weights count: 3 matrices of 1000 x 500 bf16 values of each touched expert, 3 MB at 1e12
// B/s. The cache keeps nothing (l2_share tiny) and the tiles fill the device (parallelism tiny).
TEST_CASE("experts that no token touches are not read", "[models][unit]") {
  const KernelForm* form = find_form("moe_grouped");
  std::vector<double> c(form->parameters.size(), 0.0);
  const auto set = [&](std::string_view name, double value) {
    const auto at = std::ranges::find(form->parameters, name, &Parameter::name);
    REQUIRE(at != form->parameters.end());
    c[static_cast<std::size_t>(at - form->parameters.begin())] = value;
  };
  set("e_mem", 1);
  set("l2_share", 1e-9);
  set("parallelism", 1e-9);
  set("few_tokens", 1);
  MoeOp op;
  op.entering_tokens = 100;
  op.top_k = 2;
  op.hidden = 1000;
  op.inter = 500;
  op.local_experts = 16;
  op.total_experts = 64;
  const auto seconds = [&](std::int64_t touched) {
    op.load = {.pairs = 50,
               .touched_experts = touched,
               .tiles_64 = touched,
               .tiles_128 = touched,
               .busiest = 10};
    const KernelShape shape = shape_of(op);
    return form->evaluate(c, shape, kernel_context(test::round_device(), shape.key)).alone().si();
  };
  CHECK(seconds(1) == Approx(3e-6));
  CHECK(seconds(7) == Approx(21e-6));
}

TEST_CASE("useful work follows from the shape", "[models][unit]") {
  const DevicePeaks device = test::round_device();
  SECTION("attention over the causal half") {
    AttentionOp op;
    op.phase = Phase::prefill;
    op.batch = 2;
    op.query_len = 4;
    op.context = 4;
    op.heads = 8;
    op.kv_heads = 2;
    op.head_dim = 16;
    const KernelShape shape = shape_of(op);
    const UsefulWork work = useful_work(shape);
    CHECK(work.flops == 2.0 * 8 * (1 + 2 + 3 + 4) * 4 * 16);  // pairs x two products x 2 FLOP
    CHECK(work.bytes == 2.0 * 4 * 16 * (2 * 8 + 2 * 2) * 2);  // Q, O, K, V of two bytes
  }
  SECTION("weights of touched experts only, at their stored size") {
    MoeOp op;
    op.entering_tokens = 10;
    op.top_k = 2;
    op.hidden = 64;
    op.inter = 32;
    op.local_experts = 8;
    op.total_experts = 16;
    op.load = {.pairs = 12, .touched_experts = 3, .tiles_64 = 3, .tiles_128 = 3, .busiest = 9};
    op.weight_storage = DType::int4;
    const KernelShape shape = shape_of(op);
    const UsefulWork work = useful_work(shape);
    CHECK(work.flops == 2.0 * 12 * 3 * 64 * 32);
    // 12 pairs of tokens with at most 2 each, 9 of them on one expert: at least 9 rows.
    CHECK(work.bytes == 3 * 3 * 64 * 32 * 0.5 + 9 * 64 * 2 * 2);
  }
}

// Every second is a coefficient in seconds or work over a rate: doubling all rates and halving all
// coefficients in seconds halves the time exactly (powers of two).
TEST_CASE("twice the rates and half the overheads take half the time", "[models][property]") {
  const KernelLibrary library(test::shipped_profiles());
  const auto in_seconds = [](std::string_view name) {
    return name.starts_with("t_") || name == "t0" || name.starts_with("per_") || name == "softmax";
  };
  int checked = 0;
  for (const KernelProfile* const each : library.profiles()) {
    const KernelProfile& profile = *each;
    if (profile.framework == k_spec_sheet) {
      continue;
    }
    for (const FittedFamily& family : profile.families) {
      CAPTURE(profile.name(), family.name(), family.kernel_source);
      Rng rng = RngStreams(7).stream(family.name());
      std::vector<double> halved = family.coefficients;
      for (std::size_t i = 0; i < halved.size(); ++i) {
        halved[i] *= in_seconds(family.form->parameters[i].name) ? 0.5 : 1.0;
      }
      for (int draw = 0; draw < 20; ++draw) {
        const KernelShape shape = test::random_shape(family, rng);
        KernelContext context = kernel_context(profile.device, shape.key);
        const double slow = family.form->evaluate(family.coefficients, shape, context).alone().si();
        context.peak *= 2;
        context.bandwidth *= 2;
        context.on_die *= 2;
        const double fast = family.form->evaluate(halved, shape, context).alone().si();
        REQUIRE(fast == Approx(slow / 2).epsilon(1e-12));
        ++checked;
      }
    }
  }
  CHECK(checked > 400);
}

TEST_CASE("more of the same never takes less time", "[models][property]") {
  const KernelLibrary library(test::shipped_profiles());
  for (const KernelProfile* const each : library.profiles()) {
    const KernelProfile& profile = *each;
    for (const FittedFamily& family : profile.families) {
      if (!family.dtype) {
        continue;
      }
      CAPTURE(profile.name(), family.name(), family.kernel_source);
      Rng rng = RngStreams(11).stream(family.name());
      const std::size_t grow = growing_dim(family.kind);
      for (int draw = 0; draw < 20; ++draw) {
        KernelShape shape = test::random_shape(family, rng);
        const KernelContext context = kernel_context(profile.device, shape.key);
        double before = 0;
        for (int step = 0; step < 40; ++step) {
          const KernelEstimate estimate =
              family.form->evaluate(family.coefficients, shape, context);
          REQUIRE(std::isfinite(estimate.alone().si()));
          REQUIRE(estimate.fixed.si() >= 0);
          REQUIRE(estimate.compute.si() >= 0);
          REQUIRE(estimate.memory.si() >= 0);
          CAPTURE(step, shape.dims[0], shape.dims[1], shape.dims[2]);
          REQUIRE(estimate.alone().si() >= before * (1 - 1e-12));
          before = estimate.alone().si();
          shape.dims[grow] += 1 + std::floor(shape.dims[grow] / 5);
        }
      }
    }
  }
}
