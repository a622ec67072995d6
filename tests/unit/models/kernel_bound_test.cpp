// A family on the device that it answers for: between its measured batches, and its error.
#include "models/kernels/kernel_bound.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "kernel_test_support.h"
#include "models/kernels/kernel_library.h"

using namespace moesim;

namespace {

constexpr KernelKey gemm_bf16{KernelKind::gemm, DType::bf16, DType::bf16};
constexpr KernelKey mla_bf16{KernelKind::mla_decode, DType::bf16, DType::bf16};

FittedFamily mla_family() {
  FittedFamily family;
  family.kind = mla_bf16.kind;
  family.dtype = mla_bf16.dtype;
  family.storage = mla_bf16.storage;
  family.form = find_form("mla_split_kv");
  for (const Parameter& parameter : family.form->parameters) {
    // A wave that is begun costs as much as a full one, and nothing is split.
    const bool sharp = parameter.name == "wave" || parameter.name == "t_split";
    family.coefficients.push_back(sharp ? parameter.max : parameter.start);
  }
  family.error_bands = {{1, 0.05}};
  family.source = "made for a test";
  return family;
}

// Memory is no limit.
DevicePeaks device() {
  DevicePeaks device = test::round_device();
  device.memory = Bandwidth(1e13);
  return device;
}

// 128 heads are two blocks: on 100 multiprocessors 50 sequences fill a wave.
KernelEstimate of_batch(const BoundFamily& bound, double sequences) {
  KernelShape shape;
  shape.key = mla_bf16;
  shape.dims = {sequences, 1, 4096, 128, 512, 64, 128, 128};
  return bound.estimate(shape);
}

}  // namespace

TEST_CASE("between two measured batches no wave steps", "[models][unit]") {
  FittedFamily stepping = mla_family();
  FittedFamily smooth = stepping;
  smooth.grid = {32, 64, 128, 256};
  const KernelLibrary form({test::profile_of(device(), "trtllm", {stepping})});
  const KernelLibrary grid({test::profile_of(device(), "trtllm", {smooth})});
  const auto by_form = form.bind(device(), mla_bf16, {.wish = "trtllm"});
  const auto by_grid = grid.bind(device(), mla_bf16, {.wish = "trtllm"});
  const auto seconds = [](const KernelEstimate& e) { return e.alone().si(); };
  CHECK(seconds(of_batch(by_form, 153)) > 1.05 * seconds(of_batch(by_form, 150)));
  CHECK(seconds(of_batch(by_grid, 153)) < 1.03 * seconds(of_batch(by_grid, 150)));
  for (const double measured : {32.0, 128.0, 256.0, 16.0, 512.0}) {  // there, and beyond the list
    CHECK(seconds(of_batch(by_grid, measured)) == seconds(of_batch(by_form, measured)));
    CHECK(of_batch(by_grid, measured).sigma == of_batch(by_form, measured).sigma);
  }
  // The middle of 128 and 256, by ratios.
  const double root = 128 * std::sqrt(2.0);
  CHECK(seconds(of_batch(by_grid, root)) ==
        Approx(std::sqrt(seconds(of_batch(by_grid, 128)) * seconds(of_batch(by_grid, 256)))));
  const double doubt = std::log(seconds(of_batch(by_form, 153)) / seconds(of_batch(by_grid, 153)));
  CHECK(of_batch(by_grid, 153).sigma == Approx(std::hypot(0.05, doubt)));
}

TEST_CASE("a captured step is not timed by the host's launches", "[models][unit]") {
  FittedFamily eager = test::roofline_family(gemm_bf16, {6e-5, 1.1, 1}, "eager");
  eager.host_floor = 6e-5;
  eager.preferred = true;
  const KernelProfile own = test::profile_of(test::round_device(), "vllm", {eager});
  const FittedFamily device = test::roofline_family(gemm_bf16, {1e-6, 1.2, 1}, "device");
  const auto answer = [](const KernelLibrary& library, bool captured) {
    return library.bind(test::round_device(), gemm_bf16, {.wish = "vllm", .captured = captured})
        .family->kernel_source;
  };
  const KernelLibrary both({own, test::profile_of(test::round_device(), "trtllm", {device})});
  CHECK(answer(both, false) == "eager");
  CHECK(answer(both, true) == "device");
  const KernelLibrary alone(std::vector<KernelProfile>{own});
  CHECK(answer(alone, true) == "eager");  // better than a data sheet, and it says so:
  const auto model = make_kernel_model(
      test::round_device(), {.by_operation = {{"default", "vllm"}}, .captured = true},
      std::make_shared<KernelLibrary>(std::vector<KernelProfile>{own}));
  CHECK(model->provenance("gemm/bf16")->host_floor_s == 6e-5);
}
