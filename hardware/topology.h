// The cluster as a graph of directed links: which links a byte from device a to device b crosses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hardware/cluster.h"
#include "hardware/routes.h"

namespace moesim {

class LinkGraph;

enum class LinkKind {
  device_up,
  device_down,
  nic_up,
  nic_down,
  leaf_up,
  leaf_down,
  host_up,
  host_down
};
std::string_view name_of(LinkKind kind);

struct Link {
  std::string name;  // "node0/gpu3/nvlink4_up"
  LinkKind kind = LinkKind::device_up;
  Bandwidth bandwidth;
  Seconds latency;
  double joules_per_byte = 0.0;
};

// Built once per cluster. Link ids are positions in links(): node by node, each node with the same
// layout (so that what one node does is another's, shifted by links_per_node()), then the fabric.
// Pure after construction; safe to share between threads.
class Topology {
 public:
  explicit Topology(const Cluster& cluster);
  ~Topology();
  Topology(Topology&&) noexcept;
  Topology& operator=(Topology&&) noexcept;

  [[nodiscard]] const std::vector<Link>& links() const { return links_; }
  [[nodiscard]] int links_per_node() const { return links_per_node_; }
  [[nodiscard]] int devices() const { return devices_; }
  [[nodiscard]] int nodes() const { return devices_ / devices_per_node_; }
  [[nodiscard]] int node_of(int device) const { return device / devices_per_node_; }
  [[nodiscard]] int devices_per_node() const { return devices_per_node_; }
  // NICs of a node that devices use, which is the number of leaf switches; 0 for a single node.
  [[nodiscard]] int rails() const { return rails_; }
  // Which of them the device uses. Requires rails() > 0.
  [[nodiscard]] int rail_of(int device) const { return device % devices_per_node_ % rails_; }

  // Ids of single links, -1 where the cluster has none: device links need several devices per
  // node, NIC links several nodes, leaf links several rails.
  [[nodiscard]] int device_up(int device) const;
  [[nodiscard]] int device_down(int device) const;
  [[nodiscard]] int nic_up(int node, int rail) const;
  [[nodiscard]] int nic_down(int node, int rail) const;
  [[nodiscard]] int leaf_up(int rail, int spine) const;
  [[nodiscard]] int leaf_down(int rail, int spine) const;

  // All shortest paths (hops) from one device to another, none through a third device, each a list
  // of link ids; found by Boost.Graph. One path without links for from == to.
  [[nodiscard]] std::vector<std::vector<int>> paths(int from, int to) const;
  // The same to every device, by one search.
  [[nodiscard]] std::vector<std::vector<std::vector<int>>> paths_from(int from) const;

  // Links from a device to its node's host memory and back.
  struct HostPath {
    std::vector<int> up;
    std::vector<int> down;
  };
  [[nodiscard]] bool has_host() const { return has_host_; }
  // Requires has_host().
  [[nodiscard]] HostPath host_path(int device) const;

  // Sum of link latencies of a shortest path.
  [[nodiscard]] Seconds latency(int from, int to) const;

  // paths() as tables: what an amount of bytes puts on which links, O(links of a path).
  [[nodiscard]] const Routes& routes() const { return routes_; }

  // The same wire in the other direction.
  [[nodiscard]] int reverse(int link) const { return reverse_[static_cast<std::size_t>(link)]; }

 private:
  void add_node_links(const Cluster& cluster, int node);
  void pair_up(int count);
  void add_fabric_links(const Cluster& cluster);
  void build_graph();
  std::vector<int> add_fabric_hops(LinkGraph& graph) const;
  void add_inner_hops(LinkGraph& graph, int node) const;
  void add_nic_hops(LinkGraph& graph, int node, const std::vector<int>& leaves) const;
  [[nodiscard]] int node_link(int node, int offset) const {
    return node * links_per_node_ + offset;
  }

  int devices_ = 0;
  int devices_per_node_ = 1;
  int rails_ = 0;
  int spines_ = 0;    // 0 unless traffic crosses rails
  int switched_ = 0;  // devices of a node with links to a switch or bridge: all or none
  bool has_host_ = false;
  bool host_behind_bridge_ = false;  // PCIe: the way to host memory is shared with peer traffic
  int links_per_node_ = 0;
  std::vector<Link> links_;
  std::vector<int> reverse_;  // by link
  std::unique_ptr<const LinkGraph> graph_;
  Routes routes_;
};

}  // namespace moesim
