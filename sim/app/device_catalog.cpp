#include "sim/app/device_catalog.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "hardware/device.h"
#include "sim/core/catalog.h"
#include "sim/engine/device_peaks.h"

namespace moesim {

std::optional<DevicePeaks> find_device_peaks(const CatalogFolders& folders,
                                             const std::string& name) {
  std::vector<std::string> devices;
  for (const std::string& folder : folders.hardware) {
    devices.push_back((std::filesystem::path(folder) / "devices").string());
  }
  if (find_in_catalog(name, devices).empty()) {
    return std::nullopt;
  }
  return peaks_of(load_device(name, name, folders.hardware));
}

}  // namespace moesim
