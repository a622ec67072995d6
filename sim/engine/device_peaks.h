// A device's data sheet as kernel models see it.
#pragma once

#include "hardware/device.h"
#include "models/kernels/kernel_model.h"

namespace moesim {

DevicePeaks peaks_of(const Device& device);

}  // namespace moesim
