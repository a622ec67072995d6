// A cluster: nodes of devices, what joins devices inside a node, and the fabric between nodes.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "hardware/device.h"
#include "sim/core/relative_paths.h"

namespace moesim {

struct LinkSpec {
  std::string name;     // "nvlink4", "infiniband_ndr"
  Bandwidth bandwidth;  // per direction
  Seconds latency;
  double joules_per_byte = 0.0;  // power at full rate / bandwidth
};

enum class NodeInterconnect {
  none,      // one device per node
  nvswitch,  // full-bandwidth switch: one up and one down link per device
  pcie,      // devices under host bridges: one up and one down link per device, host in the middle
};

enum class FabricKind {
  none,        // a single node
  leaf_spine,  // one leaf switch per rail (NIC index), `spines` spine switches
};

struct NodeSpec {
  Device device;
  int devices = 1;
  NodeInterconnect interconnect = NodeInterconnect::none;
  LinkSpec device_link;  // device <-> switch or bridge
  int nics = 0;          // device i uses NIC i % nics
  LinkSpec nic_link;
  std::optional<Device> host;  // CPU socket(s): memory tier for offloading
  int host_sockets = 0;
  LinkSpec host_link;  // device <-> host memory (PCIe), per direction
  std::vector<MemoryTier> storage;
};

struct FabricSpec {
  FabricKind kind = FabricKind::none;
  int spines = 1;
  double oversubscription = 1.0;  // leaf down / leaf up capacity
  Seconds switch_latency;
};

struct Cluster {
  std::string name;
  NodeSpec node;
  int nodes = 1;
  FabricSpec fabric;
  double usable_memory = 0.9;  // share of device memory a server may plan with

  [[nodiscard]] int devices() const { return node.devices * nodes; }
};

// The most devices that a cluster may have: traffic matrices are dense.
inline constexpr int k_most_devices = 16'384;

// `value`: a catalog name, a file's path, an inline object, or {"cluster": NAME, ...overrides},
// where overrides mirror the cluster's document and "devices" is short for /node/devices.
// "h800-8x-ib400" is one node of 8, "nodes" multiplies it. Files are looked for in the folders
// devices, links, storage and clusters of each of catalog_dirs. `effective`, if given, receives the
// whole cluster inline, so that it loads again without a catalog; `warnings` what is to be said of
// how files were found. Throws ConfigError(where, ...).
Cluster load_cluster(const nlohmann::json& value, const std::string& where,
                     const std::vector<std::string>& catalog_dirs, nlohmann::json* effective,
                     std::vector<std::string>* warnings = nullptr);

// Keys of a cluster's document whose text may be the path of a file, relative to the document's.
std::span<const PathKey> cluster_path_keys();

}  // namespace moesim
