// How a rank's kernels and collectives may overlap.
#pragma once

#include <span>
#include <string_view>

namespace moesim {

struct OverlapEntry {
  std::string_view name;
  std::string_view summary;
};

// Every overlap schedule, in the order in which they are documented.
std::span<const OverlapEntry> overlap_policies();

}  // namespace moesim
