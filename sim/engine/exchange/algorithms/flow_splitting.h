// How equal flows are spread over the spines of a leaf-spine fabric, and how loaded links get.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace moesim {

// Every leaf sends `flows` equal flows to every other leaf at once; each of `spines` has one link
// from and to every leaf.
struct LeafSpineTask {
  std::int64_t leaves = 2;
  std::int64_t spines = 1;
  std::int64_t flows = 1;
  std::uint64_t seed = 1;  // of hashes
};

struct LinkLoads {
  double most = 0.0;          // flows on the busiest link
  double ideal = 0.0;         // flows on every link under ideal spraying
  std::int64_t subflows = 0;  // pieces that flows were split into, all leaves together
};

struct FlowSplitting {
  std::string_view name;
  std::string_view summary;
  LinkLoads (*loads)(const LeafSpineTask& task);
};

std::span<const FlowSplitting> flow_splittings();
// nullptr for a name that there is none of.
const FlowSplitting* find_flow_splitting(std::string_view name);

}  // namespace moesim
