// Folders of made-up measurements, and devices for them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "calibrate/kernel_rows.h"
#include "sim/core/config.h"

namespace moesim::test {

// Spec sheets of the measured systems (peaks: system_specs.csv of the published tables; SM counts
// and L2 sizes: NVIDIA's architecture white papers).
inline std::optional<DevicePeaks> measured_device(const std::string& system) {
  DevicePeaks device;
  device.device = system;
  if (system == "h100_sxm") {
    device.architecture = "gh100";
    device.peak = {{DType::bf16, FlopRate(989e12)}, {DType::fp8, FlopRate(1978e12)}};
    device.memory = Bandwidth(3.35e12);
    device.multiprocessors = 132;
    device.l2 = Bytes(50 * 0x1p20);
  } else if (system == "a100_sxm") {
    device.architecture = "ga100";
    device.peak = {{DType::bf16, FlopRate(312e12)}, {DType::int8, FlopRate(624e12)}};
    device.memory = Bandwidth(2.039e12);
    device.multiprocessors = 108;
    device.l2 = Bytes(40 * 0x1p20);
  } else if (system == "b200_sxm") {
    device.architecture = "gb100";
    device.peak = {{DType::bf16, FlopRate(2250e12)},
                   {DType::fp8, FlopRate(4500e12)},
                   {DType::fp4, FlopRate(9000e12)}};
    device.memory = Bandwidth(7.7e12);
    device.multiprocessors = 148;
    device.l2 = Bytes(126 * 0x1p20);
  } else {
    return std::nullopt;
  }
  return device;
}

// A folder that disappears with the object.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::string& name)
      : path_(std::filesystem::temp_directory_path() /
              ("moesim_" + name + "_" + std::to_string(reinterpret_cast<std::uintptr_t>(this)))) {
    std::filesystem::create_directories(path_);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }

  [[nodiscard]] std::string path() const { return path_.string(); }
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    write_text_file((path_ / name).string(), text);
  }

 private:
  std::filesystem::path path_;
};

}  // namespace moesim::test
