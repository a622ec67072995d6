// What moves between two placements: which copies of experts have to be loaded where, from where,
// and how long that takes.
//
// A copy has to be loaded where a device holds an expert afterwards that it did not hold before,
// once however many slots it fills there. It comes from the nearest device that held the expert
// before: one in the same node, else any; among equally near ones from the one that has sent least
// so far through that port, the lowest number on ties. This is the least traffic that the two
// placements allow when copies come from devices that already had them.
//
// Time: all copies move at once, each device sends and receives over two ports (intra: inside its
// node; inter: between nodes), each direction at its own rate, and the busiest port ends last.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "placement/placement.h"

namespace moesim {

struct MoveCost {
  int devices_per_node = 1;
  double expert_bytes = 0.0;     // of one expert in one layer
  double intra_bandwidth = 0.0;  // bytes/s per device and direction; 0: no time is computed
  double inter_bandwidth = 0.0;
};

struct ExpertMove {
  int layer = 0;
  std::int32_t expert = 0;
  int from = 0;
  int to = 0;
  bool across_nodes = false;
};

struct LayerMoves {
  int kept = 0;          // (device, expert) pairs in both placements
  int loaded = 0;        // pairs only afterwards
  int dropped = 0;       // pairs only before
  int across_nodes = 0;  // of `loaded`
};

struct PlacementDiff {
  std::vector<ExpertMove> moves;  // by layer, then device, then expert
  std::vector<LayerMoves> layers;
  LayerMoves total;
  std::vector<int> loaded;   // [device]
  std::vector<int> dropped;  // [device]
  double bytes = 0.0;
  double intra_bytes = 0.0;
  double inter_bytes = 0.0;
  double seconds = 0.0;
};

// Devices that only one of them has hold nothing in the other. Throws ConfigError(where, ...)
// unless both have the same layers and experts, ensure()s sensible costs.
PlacementDiff diff_placements(const ExpertPlacement& before, const ExpertPlacement& after,
                              const MoveCost& cost, const std::string& where);

}  // namespace moesim
