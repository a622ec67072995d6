// Libraries' variants of an all-to-all algorithm.
#pragma once

#include "models/comm/comm_profile.h"

namespace moesim {

// Variants that somebody measured ("deepep_low_latency.uccl"), ascending. find_all_to_all takes
// them as it takes algorithms.
std::vector<std::string> all_to_all_variants(std::span<const CommProfile> profiles,
                                             std::string_view algorithm);

}  // namespace moesim
