#include "models/kernels/kernel_model.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "kernel_test_support.h"
#include "models/kernels/kernel_library.h"
#include "sim/core/error.h"

using namespace moesim;
using Catch::Matchers::Contains;

namespace {

constexpr KernelKey gemm_bf16{KernelKind::gemm, DType::bf16, DType::bf16};
constexpr KernelKey moe_fp8{KernelKind::moe, DType::fp8, DType::fp8};

FittedFamily any_format(KernelKind kind) {
  FittedFamily family = test::roofline_family({kind, DType::bf16, DType::bf16}, {3e-6, 2, 2});
  family.dtype.reset();
  family.storage.reset();
  return family;
}

// round/{trtllm: gemm, sglang: moe}, circle-architecture "oval"/vllm: gemm + moe, spec sheet.
KernelLibrary small_library() {
  DevicePeaks oval = test::round_device();
  oval.device = "oval";
  KernelProfile sheet =
      test::profile_of(test::round_device(), "spec_sheet",
                       {any_format(KernelKind::gemm), any_format(KernelKind::moe)});
  sheet.device = {};
  sheet.device.device = "any";
  const auto bf16_int4 = KernelKey{KernelKind::gemm, DType::bf16, DType::int4};
  return KernelLibrary({test::profile_of(test::round_device(), "trtllm",
                                         {test::roofline_family(gemm_bf16, {1e-6, 1.1, 1})}),
                        test::profile_of(test::round_device(), "sglang",
                                         {test::roofline_family(moe_fp8, {1e-6, 1.2, 1})}),
                        test::profile_of(oval, "vllm",
                                         {test::roofline_family(gemm_bf16, {1e-6, 1.3, 1}),
                                          test::roofline_family(bf16_int4, {1e-6, 1.4, 1}),
                                          test::roofline_family(moe_fp8, {1e-6, 1.5, 1})}),
                        sheet});
}

GemmOp gemm(std::int64_t m, std::int64_t n, std::int64_t k) {
  GemmOp op;
  op.m = m;
  op.n = n;
  op.k = k;
  return op;
}

}  // namespace

TEST_CASE("the nearest profile answers and says how near it is", "[models][unit]") {
  const KernelLibrary library = small_library();
  const DevicePeaks round = test::round_device();
  const auto check = [&](const DevicePeaks& device, std::string_view framework,
                         const KernelKey& key, double e_comp, Basis basis) {
    CAPTURE(device.device, framework, family_name(key));
    const BoundFamily bound = library.bind(device, key, {.wish = framework});
    CHECK(bound.family->coefficients.at(1) == e_comp);
    CHECK(bound.basis == basis);
  };
  DevicePeaks other = round;
  other.device = "disc";
  DevicePeaks square = round;
  square.device = "square";
  square.architecture = "polygon";
  DevicePeaks faster = round;
  faster.memory = Bandwidth(2e12);
  DevicePeaks stronger = round;
  stronger.peak[DType::bf16] = FlopRate(1.1e15);

  check(round, "trtllm", gemm_bf16, 1.1, Basis::calibrated);
  check(round, "sglang", gemm_bf16, 1.1, Basis::calibrated);  // other framework, same device
  check(round, "vllm", moe_fp8, 1.2, Basis::calibrated);      // the device before the framework
  check(other, "trtllm", gemm_bf16, 1.1, Basis::transferred);
  check(other, "vllm", gemm_bf16, 1.3, Basis::transferred);
  check(square, "vllm", gemm_bf16, 2, Basis::uncalibrated);
  check(round, "spec_sheet", gemm_bf16, 2, Basis::uncalibrated);
  check(faster, "trtllm", gemm_bf16, 1.1, Basis::transferred);  // a what-if was not measured
  check(stronger, "trtllm", gemm_bf16, 1.1, Basis::transferred);
  // Weight-only products were measured on the oval; a format that nobody measured is a relative.
  check(round, "trtllm", {KernelKind::gemm, DType::bf16, DType::int4}, 1.4, Basis::transferred);
  check(round, "trtllm", {KernelKind::gemm, DType::bf16, DType::fp8}, 1.1, Basis::transferred);
  check(round, "trtllm", {KernelKind::gemm, DType::fp16, DType::fp16}, 1.1, Basis::calibrated);
  check(round, "sglang", {KernelKind::moe_ungated, DType::fp8, DType::fp8}, 1.2,
        Basis::transferred);
}

TEST_CASE("a transferred profile uses the target's rates", "[models][unit]") {
  const KernelLibrary library = small_library();
  DevicePeaks half = test::round_device();
  half.device = "half";
  half.peak[DType::bf16] = FlopRate(0.5e15);
  const KernelShape shape = shape_of(gemm(4096, 4096, 4096));
  const auto full =
      library.bind(test::round_device(), shape.key, {.wish = "trtllm"}).estimate(shape);
  const auto slow = library.bind(half, shape.key, {.wish = "trtllm"}).estimate(shape);
  // Half the peak, of which a little more is reached.
  CHECK(slow.compute.si() == Approx(2 * full.compute.si() * (1 + 0.1 * std::pow(0.5, 0.6)) / 1.1));
  CHECK(slow.memory == full.memory);
  CHECK(slow.fixed.si() == Approx(full.fixed.si()).epsilon(0.001));
}

TEST_CASE("another generation keeps the shape's correction and is trusted less", "[models][unit]") {
  DevicePeaks hopper = test::round_device();
  hopper.architecture = "gh100";
  DevicePeaks blackwell = hopper;
  blackwell.device = "younger";
  blackwell.architecture = "gb100";
  blackwell.memory = Bandwidth(2e12);
  ForestDefinition forest;
  forest.thresholds = {{0.0F}};
  forest.trees.push_back(parse_tree("a0 5000 5000", forest.thresholds, "t"));
  FittedFamily family = test::roofline_family(gemm_bf16, {1e-6, 1.1, 1});
  family.correction = std::make_shared<const CorrectionForest>(forest);
  const KernelLibrary library({test::profile_of(hopper, "trtllm", {family})});
  const KernelShape shape = shape_of(gemm(1, 4096, 4096));
  const auto at_home = library.bind(hopper, gemm_bf16, {.wish = "trtllm"});
  const auto abroad = library.bind(blackwell, gemm_bf16, {.wish = "trtllm"});
  CHECK(abroad.basis == Basis::transferred);
  CHECK(abroad.estimate(shape).memory.si() == Approx(at_home.estimate(shape).memory.si() / 2));
  CHECK(abroad.estimate(shape).sigma > at_home.estimate(shape).sigma);
  // Left out, the device's own profile is as good as absent.
  CHECK_THROWS_AS(library.bind(hopper, gemm_bf16, {.wish = "trtllm", .without_device = "round"}),
                  ConfigError);
}

TEST_CASE("cache traffic keeps its rate per multiprocessor whatever the memory", "[models][unit]") {
  const DevicePeaks fitted = test::round_device();
  DevicePeaks other = fitted;
  other.device = "more memory";
  other.memory = Bandwidth(3e12);
  other.multiprocessors = 50;
  const KernelContext context = transferred_context(other, fitted, gemm_bf16, 1.0);
  CHECK(context.bandwidth == 3e12);
  CHECK(context.on_die == 0.5e12);
  // A multiprocessor that can do more reaches less of it: 1 + (1.4 - 1) 2^0.6 of its peak.
  DevicePeaks denser = fitted;
  denser.peak[DType::bf16] = FlopRate(2e15);
  const double reached = transferred_context(denser, fitted, gemm_bf16, 1.4).peak / 1.4;
  CHECK(reached == Approx(2e15 / (1 + 0.4 * std::pow(2, 0.6))));
  CHECK(transferred_context(fitted, fitted, gemm_bf16, 1.4).peak == 1e15);
  CHECK(context.sms == 100);  // the waves are those that were measured
  other.architecture = "polygon";
  CHECK(transferred_context(other, fitted, gemm_bf16, 1.0) == context);
}

TEST_CASE("versions compare by their numbers", "[models][unit]") {
  CHECK((compare_versions("0.5.6.post2", "0.5.14") < 0));
  CHECK((compare_versions("1.3.0rc9", "1.3.0rc20") < 0));
  CHECK((compare_versions("1.3.0rc20", "1.3.0rc20") == 0));
  CHECK((compare_versions("1.3.0", "1.3.0rc20") < 0));
  CHECK((compare_versions("0.9", "0.10") < 0));
  CHECK((compare_versions("a4b22df", "b4b22df") < 0));
  CHECK((compare_versions("1.01", "1.1") == 0));
}

TEST_CASE("a prediction never beats the device", "[models][property]") {
  // Coefficients below 1, as fits with overlap find them, and a correction that halves the time.
  ForestDefinition forest;
  forest.thresholds = {{0.0F}};
  forest.trees.push_back(parse_tree("a0 -7000 -7000", forest.thresholds, "t"));
  FittedFamily family = test::roofline_family(gemm_bf16, {1e-7, 0.8, 0.7});
  family.correction = std::make_shared<const CorrectionForest>(forest);
  const DevicePeaks fitted = test::round_device();
  const KernelLibrary library({test::profile_of(fitted, "trtllm", {family})});
  DevicePeaks weak = fitted;
  weak.device = "weak";
  weak.peak[DType::bf16] = FlopRate(1e14);
  for (const DevicePeaks& device : {fitted, weak}) {
    const BoundFamily bound = library.bind(device, gemm_bf16, {.wish = "trtllm"});
    for (std::int64_t m = 1; m <= 65536; m *= 4) {
      const KernelShape shape = shape_of(gemm(m, 16384, 16384));
      const UsefulWork work = useful_work(shape);
      const double time = bound.estimate(shape).alone().si();
      CHECK(time >= 0.999999 * work.flops / device.peak.at(DType::bf16).si());
      CHECK(time >= 0.999999 * (work.bytes - device.l2.si()) / device.memory.si());
    }
  }
}

TEST_CASE("a twin of the measured product is trusted like it", "[models][unit]") {
  const DevicePeaks fitted = test::round_device();
  FittedFamily family = test::roofline_family(gemm_bf16, {1e-6, 1.1, 1});
  family.error_bands = {{1, 0.05}};
  const KernelLibrary library({test::profile_of(fitted, "trtllm", {family})});
  const KernelShape shape = shape_of(gemm(1, 4096, 4096));
  const auto sigma = [&](const DevicePeaks& device) {
    return library.bind(device, gemm_bf16, {.wish = "trtllm"}).estimate(shape).sigma;
  };
  DevicePeaks twin = fitted;
  twin.device = "twin";
  CHECK(sigma(twin) == 0.05);
  twin.memory = Bandwidth(2e12);
  CHECK(sigma(twin) > 0.09);
}

TEST_CASE("the nearest other generation is of the same market", "[models][unit]") {
  CHECK(generation_distance("gh100", "gh100") == 0);
  CHECK(generation_distance("ga100", "gh100") < generation_distance("ga100", "gb100"));
  CHECK(generation_distance("ga100", "gb100") < generation_distance("ga100", "ad102"));
  CHECK(generation_distance("ad102", "ga102") < generation_distance("ad102", "gh100"));
}

TEST_CASE("of several kernels the named one, else the preferred one answers", "[models][unit]") {
  FittedFamily first = test::roofline_family(gemm_bf16, {1e-6, 1.1, 1}, "first");
  FittedFamily second = test::roofline_family(gemm_bf16, {1e-6, 1.2, 1}, "second");
  second.preferred = true;
  const KernelLibrary library({test::profile_of(test::round_device(), "trtllm", {first, second})});
  const auto e_comp = [&](std::string_view source) {
    return library
        .bind(test::round_device(), gemm_bf16, {.wish = "trtllm", .kernel_source = source})
        .family->coefficients[1];
  };
  CHECK(e_comp("first") == 1.1);
  CHECK(e_comp("second") == 1.2);
  CHECK(e_comp("") == 1.2);
  CHECK(e_comp("third") == 1.2);
}

TEST_CASE("shapes outside the fitted range are flagged at the edge", "[models][unit]") {
  FittedFamily family = test::roofline_family(gemm_bf16, {1e-6, 1.1, 1});
  family.range = {{8, 1000}, {8, 1000}, {8, 1000}};
  const KernelLibrary library({test::profile_of(test::round_device(), "trtllm", {family})});
  const BoundFamily bound = library.bind(test::round_device(), gemm_bf16, {.wish = "trtllm"});
  const auto extrapolated = [&](std::int64_t m, std::int64_t n, std::int64_t k) {
    return bound.estimate(shape_of(gemm(m, n, k))).extrapolated;
  };
  CHECK_FALSE(extrapolated(8, 1000, 100));
  CHECK_FALSE(extrapolated(1250, 100, 100));  // a quarter beyond is still inside
  CHECK(extrapolated(1251, 100, 100));
  CHECK_FALSE(extrapolated(100, 7, 100));
  CHECK(extrapolated(100, 6, 100));
  CHECK(extrapolated(100, 100, 2000));
}

TEST_CASE("a device refuses formats that it cannot compute in", "[models][unit]") {
  DevicePeaks device = test::h100();
  device.device = "a100_sxm";
  device.peak = {{DType::bf16, FlopRate(312e12)}, {DType::int8, FlopRate(624e12)}};
  const auto model = make_kernel_model(device, "vllm", test::shipped_profiles());
  GemmOp op = gemm(16, 4096, 4096);
  op.dtype = DType::fp8;
  CHECK_THROWS_AS(model->estimate(op), ConfigError);
  CHECK_THROWS_WITH(model->estimate(op),
                    Contains("a100_sxm") && Contains("fp8") && Contains("bf16, int8"));
  op.dtype = DType::fp16;  // multiplied at the bf16 rate
  CHECK(model->estimate(op).alone().si() > 0);
  op.weight_storage = DType::int4;  // unpacked to 16 bits
  CHECK(model->estimate(op).alone().si() > 0);
}

// 4096 x 4096 weights of 4 bits are 8 MB; of 16 bits, 32 MB, at 1 TB/s.
TEST_CASE("bits per weight and masks reach the time and the counts alike", "[models][unit]") {
  const KernelKey int4{KernelKind::gemm, DType::bf16, DType::int4};
  const KernelKey prefill{KernelKind::attention_context, DType::bf16, DType::bf16};
  const auto library = std::make_shared<const KernelLibrary>(std::vector<KernelProfile>{
      test::profile_of(test::round_device(), "trtllm",
                       {test::roofline_family(int4, {1e-6, 1.0, 1.0}),
                        test::roofline_family(prefill, {1e-6, 1.0, 1.0})})});
  const auto model = make_kernel_model(test::round_device(), "trtllm", library);
  GemmOp op = gemm(1, 4096, 4096);
  op.weight_storage = DType::int4;
  const KernelEstimate four = model->estimate(op);
  op.weight_bits = 16;
  const KernelEstimate sixteen = model->estimate(op);
  CHECK((sixteen.memory - four.memory).si() == Approx(4096.0 * 4096 * 12 / 8 / 1e12));
  CHECK((sixteen.bytes - four.bytes).si() == Approx(4096.0 * 4096 * 12 / 8));
  CHECK(sixteen.bytes == bytes_of(op));
  AttentionOp attention;
  attention.phase = Phase::prefill;
  attention.batch = 1;
  attention.query_len = attention.context = 8192;
  attention.heads = attention.kv_heads = 64;
  attention.head_dim = 128;
  const KernelEstimate causal = model->estimate(attention);
  attention.causal = false;
  const KernelEstimate full = model->estimate(attention);
  CHECK(full.compute / causal.compute == Approx(2.0 * 8192 / 8193));
  CHECK(full.flops == flops_of(attention));
  for (const char* form : {"attention_causal_tiles", "mla_causal_tiles"}) {
    KernelShape shape = shape_of(attention);
    if (form[0] == 'm') {
      shape.key.kind = KernelKind::mla_context;
      shape.dims = {1, 8192, 8192, 64, 512, 64, 128, 128};
    }
    std::vector<double> starts;
    for (const Parameter& parameter : find_form(form)->parameters) {
      starts.push_back(parameter.start);
    }
    const auto seconds = [&] {
      return find_form(form)
          ->evaluate(starts, shape, kernel_context(test::round_device(), shape.key))
          .alone();
    };
    const Seconds all = seconds();
    shape.causal = true;
    CAPTURE(form);
    CHECK(all / seconds() > 1.8);
  }
}

TEST_CASE("an unknown framework lists those there are", "[models][unit]") {
  CHECK_THROWS_WITH(
      make_kernel_model(test::h100(), "trtlm", test::shipped_profiles()),
      Contains("trtlm") && Contains("sglang, spec_sheet, trtllm") && Contains("vllm"));
}

TEST_CASE("shipped profiles answer for every operator of an H100", "[models][contract]") {
  const std::string framework = GENERATE("trtllm", "sglang", "vllm");
  const auto model = make_kernel_model(test::h100(), framework, test::shipped_profiles());
  MoeOp moe;
  moe.entering_tokens = 128;
  moe.top_k = 8;
  moe.hidden = 7168;
  moe.inter = 2048;
  moe.local_experts = 8;
  moe.total_experts = 256;
  moe.load = {.pairs = 256, .touched_experts = 8, .tiles_64 = 8, .tiles_128 = 8, .busiest = 40};
  moe.dtype = DType::fp8_block;
  moe.weight_storage = DType::fp8_block;
  AttentionOp attention;
  attention.batch = 64;
  attention.context = 2048;
  attention.heads = 32;
  attention.kv_heads = 4;
  attention.head_dim = 128;
  MlaOp mla;
  mla.batch = 128;
  mla.context = 4096;
  mla.heads = 128;
  MlaOp mla_prefill = mla;
  mla_prefill.phase = Phase::prefill;
  mla_prefill.batch = 4;
  mla_prefill.query_len = 4096;
  GemmOp batched = gemm(128, 512, 128);
  batched.batch = 128;
  const std::vector<OpShape> ops{
      gemm(128, 7168, 2048),           batched, moe, attention, mla, mla_prefill,
      MemoryOp{Bytes(1e6), Bytes(1e6)}};
  for (const OpShape& op : ops) {
    const std::string family = model->family_of(op);
    CAPTURE(framework, family);
    const KernelEstimate estimate = model->estimate(op);
    CHECK(estimate.alone().si() > 1e-6);
    CHECK(estimate.alone().si() < 20e-3);
    const auto row = model->provenance(family);
    REQUIRE(row.has_value());
    CHECK(row->family == family);
    CHECK(row->basis == Basis::calibrated);
    CHECK(row->median_error > 0);
  }
  CHECK(model->estimate(gemm(0, 7168, 2048)).alone().si() == 0);
}

TEST_CASE("a device that nobody measured gets the spec sheet and is marked", "[models][unit]") {
  DevicePeaks device = test::h100();
  device.device = "unknown";
  device.architecture = "another vendor's";
  const auto model = make_kernel_model(device, "vllm", test::shipped_profiles());
  for (const char* family : {"gemm/bf16", "moe/fp8_block", "moe/bf16-int4", "mla_decode/bf16",
                             "attention_context/bf16", "memory"}) {
    CAPTURE(family);
    const auto row = model->provenance(family);
    REQUIRE(row.has_value());
    CHECK(row->basis == Basis::uncalibrated);
    CHECK(row->profile == "spec_sheet");
    CHECK(row->median_error == 0);
  }
  CHECK_FALSE(model->provenance("nccl_all_reduce").has_value());
  CHECK(model->estimate(gemm(1, 4096, 4096)).memory.si() > 0);
}
