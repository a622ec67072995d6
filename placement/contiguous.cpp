// Expert e on device e * devices / experts: neighbours live together, as engines do by default.
#include "placement/base_policies.h"

namespace moesim {

std::vector<int> contiguous_devices(const PlacementInput& input, int /*layer*/) {
  std::vector<int> device(static_cast<std::size_t>(input.experts));
  for (int e = 0; e < input.experts; ++e) {
    device[static_cast<std::size_t>(e)] =
        static_cast<int>(static_cast<std::int64_t>(e) * input.devices / input.experts);
  }
  return device;
}

}  // namespace moesim
