// Clusters for tests, without a catalog.
#pragma once

#include <string>
#include <vector>

#include "hardware/cluster.h"

namespace moesim::test {

inline std::vector<std::string> shipped_catalog() {
  return {MOESIM_SOURCE_DIR "/hardware/catalog"};
}

struct Shape {
  int nodes = 1;
  int devices = 8;
  int nics = 8;
  int spines = 4;
  double oversubscription = 1.0;
  bool host = false;
  NodeInterconnect interconnect = NodeInterconnect::nvswitch;
};

// Device links 300 B/s and 1 s, NICs 50 B/s and 10 s, switches 100 s, host links 30 B/s and 1000 s:
// sums of latencies tell which links a path has.
inline Cluster make_cluster(const Shape& shape) {
  Cluster cluster;
  cluster.name = "test";
  cluster.nodes = shape.nodes;
  NodeSpec& node = cluster.node;
  node.device.name = "device";
  node.devices = shape.devices;
  node.interconnect = shape.devices > 1 ? shape.interconnect : NodeInterconnect::none;
  node.device_link = {"inner", Bandwidth(300.0), Seconds(1.0), 0.0};
  node.nics = shape.nics;
  node.nic_link = {"net", Bandwidth(50.0), Seconds(10.0), 0.0};
  if (shape.host) {
    node.host.emplace().kind = DeviceKind::cpu;
    node.host_sockets = 1;
    node.host_link = {"pcie", Bandwidth(30.0), Seconds(1000.0), 0.0};
  }
  if (shape.nodes > 1) {
    cluster.fabric = {FabricKind::leaf_spine, shape.spines, shape.oversubscription, Seconds(100.0)};
  }
  return cluster;
}

}  // namespace moesim::test
