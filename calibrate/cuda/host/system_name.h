// Names of the hardware catalogue for the names that devices give themselves.
#pragma once

#include <string>
#include <string_view>

namespace moesim::bench {

// "NVIDIA H100 80GB HBM3" -> "h100_sxm". A device that no rule knows gets its own name in lower
// case with underscores ("NVIDIA GeForce RTX 4090" -> "geforce_rtx_4090"): the tables are then
// read only once the catalogue has a device of that name.
std::string guess_system_name(std::string_view device_name);

}  // namespace moesim::bench
