#include "hardware/topology.h"

#include <algorithm>
#include <array>

#include "hardware/link_graph.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::array<std::string_view, 8> kind_names{"device_up", "device_down", "nic_up",
                                                     "nic_down",  "leaf_up",     "leaf_down",
                                                     "host_up",   "host_down"};

std::string numbered(std::string_view what, int index) {
  return std::string(what) + std::to_string(index);
}

Link make_link(std::string name, LinkKind kind, const LinkSpec& spec) {
  return {std::move(name), kind, spec.bandwidth, spec.latency, spec.joules_per_byte};
}

}  // namespace

std::string_view name_of(LinkKind kind) { return kind_names.at(static_cast<std::size_t>(kind)); }

Topology::Topology(const Cluster& cluster)
    : devices_(cluster.devices()),
      devices_per_node_(cluster.node.devices),
      has_host_(cluster.node.host.has_value()),
      host_behind_bridge_(cluster.node.interconnect == NodeInterconnect::pcie) {
  ensure(cluster.nodes >= 1 && devices_per_node_ >= 1, "a cluster has devices");
  if (devices_per_node_ > 1) {
    ensure(cluster.node.interconnect != NodeInterconnect::none, "devices of a node are joined");
    switched_ = devices_per_node_;
  }
  if (cluster.nodes > 1) {
    ensure(cluster.node.nics >= 1 && cluster.fabric.kind != FabricKind::none, "nodes are joined");
    rails_ = std::min(cluster.node.nics, devices_per_node_);
    spines_ = rails_ > 1 ? cluster.fabric.spines : 0;
  }
  links_per_node_ = 2 * (switched_ + rails_ + (has_host_ ? devices_per_node_ : 0));
  for (int node = 0; node < cluster.nodes; ++node) {
    add_node_links(cluster, node);
  }
  add_fabric_links(cluster);
  build_graph();
  routes_ = Routes(*graph_, nodes(), devices_per_node_, links_per_node_);
}

Topology::~Topology() = default;
Topology::Topology(Topology&&) noexcept = default;
Topology& Topology::operator=(Topology&&) noexcept = default;

// The links added last are `count` wires' two directions, one after the other.
void Topology::pair_up(int count) {
  const int first = static_cast<int>(links_.size()) - 2 * count;
  for (int i = 0; i < 2 * count; ++i) {
    reverse_.push_back(first + (i + count) % (2 * count));
  }
}

void Topology::add_node_links(const Cluster& cluster, int node) {
  const std::string prefix = numbered("node", node) + "/";
  const auto add = [&](std::string_view owner, int count, const std::string& text, LinkKind kind,
                       const LinkSpec& spec) {
    for (int i = 0; i < count; ++i) {
      std::string name = prefix;
      name.append(numbered(owner, i)).append("/").append(text);
      links_.push_back(make_link(std::move(name), kind, spec));
    }
  };
  const NodeSpec& spec = cluster.node;
  const std::string_view device = name_of(spec.device.kind);
  add(device, switched_, spec.device_link.name + "_up", LinkKind::device_up, spec.device_link);
  add(device, switched_, spec.device_link.name + "_down", LinkKind::device_down, spec.device_link);
  pair_up(switched_);
  // A link carries the latency of the switch that feeds it.
  LinkSpec from_leaf = spec.nic_link;
  from_leaf.latency += cluster.fabric.switch_latency;
  add("nic", rails_, spec.nic_link.name + "_up", LinkKind::nic_up, spec.nic_link);
  add("nic", rails_, spec.nic_link.name + "_down", LinkKind::nic_down, from_leaf);
  pair_up(rails_);
  const int hosted = has_host_ ? devices_per_node_ : 0;
  add(device, hosted, "host_" + spec.host_link.name + "_up", LinkKind::host_up, spec.host_link);
  add(device, hosted, "host_" + spec.host_link.name + "_down", LinkKind::host_down, spec.host_link);
  pair_up(hosted);
}

void Topology::add_fabric_links(const Cluster& cluster) {
  if (spines_ == 0) {
    return;
  }
  // A leaf serves one NIC of every node; its uplinks together carry 1/oversubscription of that.
  LinkSpec uplink = cluster.node.nic_link;
  uplink.bandwidth = static_cast<double>(cluster.nodes) * cluster.node.nic_link.bandwidth /
                     (cluster.fabric.oversubscription * static_cast<double>(spines_));
  uplink.latency = cluster.fabric.switch_latency;
  for (const auto kind : {LinkKind::leaf_up, LinkKind::leaf_down}) {
    const std::string_view direction = kind == LinkKind::leaf_up ? "_up" : "_down";
    for (int rail = 0; rail < rails_; ++rail) {
      for (int spine = 0; spine < spines_; ++spine) {
        links_.push_back(make_link(
            numbered("leaf", rail) + "/" + numbered("spine", spine) + std::string(direction), kind,
            uplink));
      }
    }
  }
  pair_up(rails_ * spines_);
}

void Topology::build_graph() {
  auto graph = std::make_unique<LinkGraph>();
  for (int d = 0; d < devices_; ++d) {
    graph->add_terminal();  // vertex d is device d
  }
  const std::vector<int> leaves = add_fabric_hops(*graph);
  for (int node = 0; node < nodes(); ++node) {
    add_inner_hops(*graph, node);
    add_nic_hops(*graph, node, leaves);
  }
  graph_ = std::move(graph);
}

std::vector<int> Topology::add_fabric_hops(LinkGraph& graph) const {
  std::vector<int> leaves;
  for (int r = 0; r < rails_; ++r) {
    leaves.push_back(graph.add_switch());
  }
  for (int s = 0; s < spines_; ++s) {
    const int spine = graph.add_switch();
    for (int r = 0; r < rails_; ++r) {
      graph.add_hop(leaves[static_cast<std::size_t>(r)], spine, {leaf_up(r, s)});
      graph.add_hop(spine, leaves[static_cast<std::size_t>(r)], {leaf_down(r, s)});
    }
  }
  return leaves;
}

void Topology::add_inner_hops(LinkGraph& graph, int node) const {
  const int inside = switched_ > 0 ? graph.add_switch() : -1;
  const int host = has_host_ ? graph.add_terminal() : -1;
  const int first = node * devices_per_node_;
  for (int d = first; d < first + devices_per_node_; ++d) {
    if (inside >= 0) {
      graph.add_hop(d, inside, {device_up(d)});
      graph.add_hop(inside, d, {device_down(d)});
    }
    if (host >= 0) {
      HostPath path = host_path(d);
      graph.add_hop(d, host, std::move(path.up));
      graph.add_hop(host, d, std::move(path.down));
    }
  }
}

// A NIC is two vertices, out and in: a packet does not turn round inside it.
void Topology::add_nic_hops(LinkGraph& graph, int node, const std::vector<int>& leaves) const {
  for (int r = 0; r < rails_; ++r) {
    const int out = graph.add_switch();
    const int in = graph.add_switch();
    const int leaf = leaves[static_cast<std::size_t>(r)];
    graph.add_hop(out, leaf, {nic_up(node, r)});
    graph.add_hop(leaf, in, {nic_down(node, r)});
    for (int place = r; place < devices_per_node_; place += rails_) {
      graph.add_hop(node * devices_per_node_ + place, out, {});
      graph.add_hop(in, node * devices_per_node_ + place, {});
    }
  }
}

int Topology::device_up(int device) const {
  return switched_ == 0 ? -1 : node_link(node_of(device), device % devices_per_node_);
}

int Topology::device_down(int device) const {
  return switched_ == 0 ? -1 : node_link(node_of(device), switched_ + device % devices_per_node_);
}

int Topology::nic_up(int node, int rail) const {
  return rails_ == 0 ? -1 : node_link(node, 2 * switched_ + rail);
}

int Topology::nic_down(int node, int rail) const {
  return rails_ == 0 ? -1 : node_link(node, 2 * switched_ + rails_ + rail);
}

int Topology::leaf_up(int rail, int spine) const {
  return spines_ == 0 ? -1 : node_link(nodes(), rail * spines_ + spine);
}

int Topology::leaf_down(int rail, int spine) const {
  return spines_ == 0 ? -1 : node_link(nodes(), (rails_ + rail) * spines_ + spine);
}

Topology::HostPath Topology::host_path(int device) const {
  ensure(has_host_, "the cluster's nodes have a host");
  const int first = node_link(node_of(device), 2 * (switched_ + rails_));
  const int place = device % devices_per_node_;
  HostPath path{{first + place}, {first + devices_per_node_ + place}};
  if (host_behind_bridge_ && switched_ > 0) {
    path.up.insert(path.up.begin(), device_up(device));
    path.down.push_back(device_down(device));
  }
  return path;
}

std::vector<std::vector<int>> Topology::paths(int from, int to) const {
  return graph_->shortest_paths(from, {to}).front();
}

std::vector<std::vector<std::vector<int>>> Topology::paths_from(int from) const {
  std::vector<int> all(static_cast<std::size_t>(devices_));
  for (int d = 0; d < devices_; ++d) {
    all[static_cast<std::size_t>(d)] = d;
  }
  return graph_->shortest_paths(from, all);
}

Seconds Topology::latency(int from, int to) const {
  const auto of = [this](int link) { return links_[static_cast<std::size_t>(link)].latency; };
  if (from == to) {
    return {};
  }
  if (node_of(from) == node_of(to)) {
    return of(device_up(from)) + of(device_down(to));
  }
  const int out = rail_of(from);
  const int in = rail_of(to);
  const Seconds ends = of(nic_up(node_of(from), out)) + of(nic_down(node_of(to), in));
  return out == in ? ends : ends + of(leaf_up(out, 0)) + of(leaf_down(in, 0));
}

}  // namespace moesim
