// Devices of the hardware catalog, as measurements name them.
#pragma once

#include <optional>
#include <string>

#include "models/kernels/kernel_model.h"
#include "sim/engine/catalog_folders.h"

namespace moesim {

// nullopt for a name that the catalog does not have.
std::optional<DevicePeaks> find_device_peaks(const CatalogFolders& folders,
                                             const std::string& name);

}  // namespace moesim
