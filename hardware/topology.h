// The cluster as a graph of directed links: which links a byte from device a to device b crosses.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "hardware/cluster.h"

namespace moesim {

enum class LinkKind { device_up, device_down, nic_up, nic_down, leaf_up, leaf_down, host_up, host_down };
std::string_view name_of(LinkKind kind);

struct Link {
  std::string name;  // "node0/gpu3/nvlink_up"
  LinkKind kind = LinkKind::device_up;
  Bandwidth bandwidth;
  Seconds latency;
  double joules_per_byte = 0.0;
};

// Built once per cluster. Link ids are positions in links(). Pure after construction.
class Topology {
 public:
  explicit Topology(const Cluster& cluster);

  [[nodiscard]] const std::vector<Link>& links() const { return links_; }
  [[nodiscard]] int devices() const { return devices_; }
  [[nodiscard]] int node_of(int device) const { return device / devices_per_node_; }
  [[nodiscard]] int devices_per_node() const { return devices_per_node_; }

  // All shortest paths (hops) from one device to another, none through a third device, each a list
  // of link ids; found by Boost.Graph. Empty list of links for from == to.
  [[nodiscard]] std::vector<std::vector<int>> paths(int from, int to) const;

  // Sum of link latencies of a shortest path.
  [[nodiscard]] Seconds latency(int from, int to) const;

  // Adds to link_amount[link] what amount[from * devices() + to] puts there, spread evenly over
  // each pair's equal-cost paths. The same as summing over paths(), in O(devices^2).
  void add_traffic(std::span<const double> amount, std::span<double> link_amount) const;

 private:
  int devices_ = 0;
  int devices_per_node_ = 1;
  std::vector<Link> links_;
  // ... the graph and the per-device link ids (owner of this library completes this)
};

}  // namespace moesim
