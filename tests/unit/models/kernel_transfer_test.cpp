// What one device's measurements say about another: a better device is never slower.
#include "models/kernels/kernel_transfer.h"

#include <catch2/catch.hpp>
#include <functional>

#include "kernel_test_support.h"
#include "models/kernels/kernel_library.h"

using namespace moesim;

namespace {

constexpr KernelKey gemm_bf16{KernelKind::gemm, DType::bf16, DType::bf16};

// Changes one rate by a factor.
struct Rate {
  std::string_view name;
  std::function<void(DevicePeaks&, double)> scale;
};
const std::vector<Rate>& rates() {
  static const std::vector<Rate> all{
      {"memory", [](DevicePeaks& d, double x) { d.memory = d.memory * x; }},
      {"peak",
       [](DevicePeaks& d, double x) {
         for (auto& [format, rate] : d.peak) {
           rate = rate * x;
         }
       }},
      {"multiprocessors",
       [](DevicePeaks& d, double x) {
         d.multiprocessors = static_cast<int>(std::lround(d.multiprocessors * x));
       }},
      {"l2", [](DevicePeaks& d, double x) { d.l2 = d.l2 * x; }}};
  return all;
}

double seconds(const KernelLibrary& library, const DevicePeaks& device, const KernelShape& shape,
               std::string_view framework) {
  return library.bind(device, shape.key, {.wish = framework}).estimate(shape).alone().si();
}

}  // namespace

TEST_CASE("an improvement of one rate never lengthens a kernel", "[models][property]") {
  const KernelLibrary shipped(test::shipped_profiles());
  constexpr std::array factors{0.5, 0.8, 1.0, 1.02, 1.43, 3.0};
  for (const KernelProfile* const profile : shipped.profiles()) {
    if (profile->framework == k_spec_sheet) {
      continue;
    }
    for (const FittedFamily& family : profile->families) {
      const KernelLibrary library = test::library_of(*profile, family);
      Rng rng = RngStreams(5).stream(family.name());
      const auto shapes = test::corner_shapes(family, rng, 24);
      for (const Rate& rate : rates()) {
        std::vector<double> before(shapes.size(), 1e30);
        for (const double factor : factors) {
          DevicePeaks device = profile->device;
          rate.scale(device, factor);
          for (std::size_t i = 0; i < shapes.size(); ++i) {
            const double time = seconds(library, device, shapes[i], profile->framework);
            CAPTURE(profile->name(), family.name(), family.kernel_source, rate.name, factor, i);
            REQUIRE(time <= before[i] * (1 + 1e-12));
            before[i] = time;
          }
        }
      }
    }
  }
}

TEST_CASE("the unexplained part of a shape is the same on every device", "[models][unit]") {
  // The correction doubles the time where memory dominates: of the measured device alone.
  ForestDefinition forest;
  forest.thresholds.resize(10);
  forest.thresholds[9] = {0.0F};  // compute/memory
  forest.trees.push_back(parse_tree("j0 6000 -6000", forest.thresholds, "t"));
  FittedFamily family = test::roofline_family(gemm_bf16, {1e-6, 1.1, 1});
  family.correction = std::make_shared<const CorrectionForest>(forest);
  const DevicePeaks fitted = test::round_device();
  const KernelLibrary library({test::profile_of(fitted, "trtllm", {family})});
  DevicePeaks wide = fitted;
  wide.device = "wide";
  wide.memory = Bandwidth(4e12);
  KernelShape shape;
  shape.key = gemm_bf16;
  shape.dims = {512, 4096, 4096, 1};  // memory here, arithmetic there
  const double here = seconds(library, fitted, shape, "trtllm");
  const double there = seconds(library, wide, shape, "trtllm");
  CHECK(there < here);
  const double form_here = 1e-6 + useful_work(shape).bytes / 1e12;
  const double form_there = 1e-6 + 1.1 * useful_work(shape).flops / 1e15;
  CHECK(here / form_here == Approx(std::exp(0.6)));
  CHECK(there / form_there == Approx(std::exp(0.6)));
}

TEST_CASE("the die's name changes no time", "[models][unit]") {
  FittedFamily family;
  family.kind = gemm_bf16.kind;
  family.dtype = gemm_bf16.dtype;
  family.storage = gemm_bf16.storage;
  family.form = find_form("gemm_tiles");
  for (const Parameter& parameter : family.form->parameters) {
    family.coefficients.push_back(parameter.start);
  }
  family.source = "made for a test";
  DevicePeaks hopper = test::round_device();
  hopper.architecture = "gh100";
  const KernelLibrary library({test::profile_of(hopper, "trtllm", {family})});
  DevicePeaks sister = hopper;
  sister.device = "sister";
  sister.memory = Bandwidth(2e12);
  sister.multiprocessors = 120;
  DevicePeaks younger = sister;
  younger.architecture = "gb100";
  KernelShape shape;
  shape.key = gemm_bf16;
  for (const double rows : {1.0, 100.0, 8192.0}) {
    shape.dims = {rows, 4096, 4096, 1};
    CHECK(seconds(library, younger, shape, "trtllm") == seconds(library, sister, shape, "trtllm"));
  }
}
