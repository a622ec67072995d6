// Folders of made-up measurements, and devices for them.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "calibrate/tables/kernel_rows.h"
#include "hardware/device.h"
#include "sim/core/catalog.h"
#include "sim/core/output_file.h"

namespace moesim::test {

// Spec sheets of the measured systems: the shipped catalog's.
inline std::optional<DevicePeaks> measured_device(const std::string& system) {
  const std::vector<std::string> catalog(1, MOESIM_SOURCE_DIR "/hardware/catalog");
  if (find_in_catalog(system, hardware_folders(catalog, "devices")).empty()) {
    return std::nullopt;
  }
  const Device device = load_device(nlohmann::json(system), system, catalog);
  return DevicePeaks{device.name,        device.architecture,    device.peak,
                     device.memory.read, device.multiprocessors, device.l2};
}

// A folder that disappears with the object.
class MeasurementFolder {
 public:
  explicit MeasurementFolder(const std::string& name)
      : path_(std::filesystem::temp_directory_path() /
              ("moesim_" + name + "_" + std::to_string(reinterpret_cast<std::uintptr_t>(this)))) {
    std::filesystem::create_directories(path_);
  }
  MeasurementFolder(const MeasurementFolder&) = delete;
  MeasurementFolder& operator=(const MeasurementFolder&) = delete;
  ~MeasurementFolder() { std::filesystem::remove_all(path_); }

  [[nodiscard]] std::string path() const { return path_.string(); }
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    write_text_file((path_ / name).string(), text);
  }

 private:
  std::filesystem::path path_;
};

}  // namespace moesim::test
