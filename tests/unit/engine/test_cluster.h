// A cluster of switched nodes for the tests of exchanges.
#pragma once

#include "hardware/cluster.h"

namespace moesim {

inline Cluster test_cluster(int nodes, int devices, int spines = 3) {
  Cluster cluster;
  cluster.name = "test";
  cluster.nodes = nodes;
  cluster.node.devices = devices;
  cluster.node.interconnect = devices > 1 ? NodeInterconnect::nvswitch : NodeInterconnect::none;
  cluster.node.device_link = {"nvlink", Bandwidth(200e9), Seconds(1e-6), 0.0};
  cluster.node.nics = nodes > 1 ? devices : 0;
  cluster.node.nic_link = {"ib", Bandwidth(50e9), Seconds(2e-6), 0.0};
  cluster.fabric.kind = nodes > 1 ? FabricKind::leaf_spine : FabricKind::none;
  cluster.fabric.spines = spines;
  return cluster;
}

}  // namespace moesim
