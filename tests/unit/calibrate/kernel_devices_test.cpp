// Laws of one device on all devices of the catalog: what is better in everything is not slower.
#include <catch2/catch.hpp>
#include <filesystem>
#include <map>

#include "kernel_data.h"
#include "models/kernels/kernel_library.h"
#include "tests/unit/models/kernel_test_support.h"

using namespace moesim;

namespace {

std::vector<DevicePeaks> catalogued_devices() {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(MOESIM_SOURCE_DIR "/hardware/catalog/devices")) {
    names.push_back(entry.path().stem().string());
  }
  std::ranges::sort(names);
  std::vector<DevicePeaks> devices;
  for (const std::string& name : names) {
    devices.push_back(*test::measured_device(name));
  }
  return devices;
}

bool at_least(const KernelContext& device, const KernelContext& other) {
  return device.bandwidth >= other.bandwidth && device.peak >= other.peak &&
         device.sms >= other.sms && device.l2 >= other.l2;
}

struct OnDevice {
  KernelContext rates;
  std::vector<double> seconds;  // by shape
};

}  // namespace

TEST_CASE("a device that is at least as good in every rate is never slower",
          "[calibrate][property]") {
  const KernelLibrary shipped(test::shipped_profiles());
  const std::vector<DevicePeaks> devices = catalogued_devices();
  int compared = 0;
  for (const KernelProfile* const profile : shipped.profiles()) {
    if (profile->framework == k_spec_sheet) {
      continue;
    }
    for (const FittedFamily& family : profile->families) {
      const KernelLibrary library = test::library_of(*profile, family);
      Rng rng = RngStreams(13).stream(family.name());
      const auto shapes = test::corner_shapes(family, rng, 24);
      const KernelKey key = shapes.front().key;
      std::map<std::string, OnDevice> times;
      for (const DevicePeaks& device : devices) {
        if (!kinship(device, profile->device, true) || !supports(device, key.dtype)) {
          continue;
        }
        const BoundFamily bound = library.bind(device, key, {.wish = profile->framework});
        OnDevice& on = times[device.device];
        on.rates = bound.spec;
        for (const KernelShape& shape : shapes) {
          on.seconds.push_back(bound.estimate(shape).alone().si());
        }
      }
      for (const auto& [better, fast] : times) {
        for (const auto& [worse, slow] : times) {
          if (!at_least(fast.rates, slow.rates)) {
            continue;
          }
          CAPTURE(profile->name(), family.name(), family.kernel_source, better, worse);
          for (std::size_t i = 0; i < shapes.size(); ++i) {
            REQUIRE(fast.seconds[i] <= slow.seconds[i] * (1 + 1e-12));
          }
          ++compared;
        }
      }
    }
  }
  CHECK(compared > 2000);
}
