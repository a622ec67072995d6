// Expert e on device e mod devices: neighbours are dealt out.
#include "placement/base_policies.h"

namespace moesim {

std::vector<int> round_robin_devices(const PlacementInput& input, int /*layer*/) {
  std::vector<int> device(static_cast<std::size_t>(input.experts));
  for (int e = 0; e < input.experts; ++e) {
    device[static_cast<std::size_t>(e)] = e % input.devices;
  }
  return device;
}

}  // namespace moesim
