// Devices and profiles for the tests of kernel models.
#pragma once

#include <string>
#include <vector>

#include "models/kernels/kernel_profile.h"

namespace moesim::test {

inline DevicePeaks round_device() {
  DevicePeaks device;
  device.device = "round";
  device.architecture = "circle";
  device.peak = {{DType::bf16, FlopRate(1e15)}, {DType::fp8, FlopRate(2e15)}};
  device.memory = Bandwidth(1e12);
  device.multiprocessors = 100;
  device.l2 = Bytes(5e7);
  return device;
}

inline DevicePeaks h100() {
  DevicePeaks device;
  device.device = "h100_sxm";
  device.architecture = "gh100";
  device.peak = {{DType::bf16, FlopRate(989e12)}, {DType::fp8, FlopRate(1978e12)}};
  device.memory = Bandwidth(3.35e12);
  device.multiprocessors = 132;
  device.l2 = Bytes(50 * 0x1p20);
  return device;
}

inline std::vector<std::string> shipped_profiles() {
  std::vector<std::string> dirs;
  dirs.emplace_back(MOESIM_SOURCE_DIR "/models/profiles");
  return dirs;
}

// A family of the plain roofline with the coefficients (t0, e_comp, e_mem).
inline FittedFamily roofline_family(const KernelKey& key, std::vector<double> coefficients,
                                    std::string source = "k") {
  FittedFamily family;
  family.kind = key.kind;
  family.dtype = key.dtype;
  family.storage = key.storage;
  family.kernel_source = std::move(source);
  family.form = find_form("roofline");
  family.coefficients = std::move(coefficients);
  family.source = "made for a test";
  return family;
}

inline KernelProfile profile_of(const DevicePeaks& device, std::string framework,
                                std::vector<FittedFamily> families) {
  KernelProfile profile;
  profile.device = device;
  profile.framework = std::move(framework);
  profile.version = "1";
  profile.date = "2026-08";
  profile.families = std::move(families);
  return profile;
}

}  // namespace moesim::test
