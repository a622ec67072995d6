#include "sim/engine/device_peaks.h"

namespace moesim {

DevicePeaks peaks_of(const Device& device) {
  return {.device = device.name,
          .architecture = device.architecture,
          .peak = device.peak,
          .memory = device.memory.read,
          .multiprocessors = device.multiprocessors,
          .l2 = device.l2};
}

}  // namespace moesim
