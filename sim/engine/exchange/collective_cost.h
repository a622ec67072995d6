// What a communication puts on links, and how long it takes beside that.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/core/units.h"

namespace moesim {

// Effective bytes: bytes / efficiency, so that a task served at nominal link rates takes as long
// as the library does.
struct LinkLoad {
  std::int32_t link = 0;  // position in Topology::links()
  double bytes = 0.0;     // > 0
  double payload = 0.0;   // what really crosses the link
};

struct CollectiveCost {
  Seconds latency;
  std::vector<LinkLoad> loads;  // ascending link
  double token_copies = 0.0;    // token copies sent to other ranks, once for all lanes
  double payload_bytes = 0.0;   // sent by all ranks to other ranks, before division by efficiency
  bool extrapolated = false;    // outside the profile's fit range
  double sigma = 0.0;           // relative standard error of the time alone
};

}  // namespace moesim
