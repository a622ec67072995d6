// Names of the hardware catalogue for the names that devices give themselves.
#pragma once

#include <string>
#include <string_view>

namespace moesim::bench {

// "NVIDIA H100 80GB HBM3" -> "h100_sxm", by whole words. A device that no rule knows, be it a slice
// of a known one or the same chip with another memory, gets its own name in lower case with
// underscores ("NVIDIA GH200 480GB" -> "gh200_480gb"): the tables are then read only once the
// catalogue has a device of that name.
std::string guess_system_name(std::string_view device_name);

// Throws ConfigError("--system", ...) unless the name is of [a-z0-9_]+: it becomes a folder.
void check_system_name(std::string_view name);

}  // namespace moesim::bench
