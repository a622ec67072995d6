#include "hardware/topology.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

#include "sim/core/error.h"
#include "tests/unit/hardware/support.h"

namespace moesim {
namespace {

using test::make_cluster;
using test::Shape;

const Link& link_of(const Topology& topology, int id) {
  return topology.links()[static_cast<std::size_t>(id)];
}

std::vector<std::string> names_of(const Topology& topology, const std::vector<int>& path) {
  std::vector<std::string> names;
  for (const int link : path) {
    names.push_back(link_of(topology, link).name);
  }
  return names;
}

using Names = std::vector<std::string>;

TEST_CASE("routes of two nodes with two rails, by hand", "[hardware][unit]") {
  const Topology topology(make_cluster({.nodes = 2, .devices = 2, .nics = 2, .spines = 2}));
  const auto only = [&](int from, int to) {
    const auto paths = topology.paths(from, to);
    REQUIRE(paths.size() == 1);
    return names_of(topology, paths.front());
  };
  CHECK(only(1, 1).empty());
  CHECK(only(0, 1) == Names{"node0/gpu0/inner_up", "node0/gpu1/inner_down"});
  CHECK(only(1, 3) == Names{"node0/nic1/net_up", "node1/nic1/net_down"});
  CHECK(only(2, 0) == Names{"node1/nic0/net_up", "node0/nic0/net_down"});
  // Across rails: one path per spine, up from the sender's leaf, down to the receiver's.
  auto across = topology.paths(0, 3);
  REQUIRE(across.size() == 2);
  std::ranges::sort(across);
  CHECK(names_of(topology, across[0]) ==
        Names{"node0/nic0/net_up", "leaf0/spine0_up", "leaf1/spine0_down", "node1/nic1/net_down"});
  CHECK(names_of(topology, across[1]) ==
        Names{"node0/nic0/net_up", "leaf0/spine1_up", "leaf1/spine1_down", "node1/nic1/net_down"});
}

// The relay (NVLink to the neighbour on the right rail, then its NIC) has as many hops as the way
// over a spine, and the way through host memory as many as the switch: only the rule against
// transit keeps them out.
TEST_CASE("no path leads through a third device or through host memory", "[hardware][property]") {
  const auto nodes = GENERATE(1, 3);
  const auto spines = GENERATE(1, 3);
  CAPTURE(nodes, spines);
  const Topology topology(
      make_cluster({.nodes = nodes, .devices = 4, .nics = 4, .spines = spines, .host = true}));
  const int n = topology.devices();
  for (int from = 0; from < n; ++from) {
    const auto all = topology.paths_from(from);
    REQUIRE(all.size() == static_cast<std::size_t>(n));
    for (int to = 0; to < n; ++to) {
      const auto& paths = all[static_cast<std::size_t>(to)];
      CHECK(paths == topology.paths(from, to));
      const bool crosses = topology.node_of(from) != topology.node_of(to) &&
                           topology.rail_of(from) != topology.rail_of(to);
      CHECK(paths.size() == static_cast<std::size_t>(crosses ? spines : 1));
      for (const auto& path : paths) {
        CHECK(path.size() == (from == to ? 0U : crosses ? 4U : 2U));
      }
    }
  }
}

// Up links belong to the sender, down links to the receiver.
TEST_CASE("paths go up at the sender and down at the receiver", "[hardware][property]") {
  const auto nics = GENERATE(1, 2, 4, 6);
  CAPTURE(nics);
  const Topology topology(make_cluster({.nodes = 3, .devices = 4, .nics = nics, .spines = 2}));
  const auto owner = [&](int device, bool same_node) {
    const std::string node = "node" + std::to_string(topology.node_of(device)) + "/";
    return same_node ? node + "gpu" + std::to_string(device % 4) + "/"
                     : node + "nic" + std::to_string(device % 4 % std::min(nics, 4)) + "/";
  };
  for (int from = 0; from < topology.devices(); ++from) {
    for (int to = 0; to < topology.devices(); ++to) {
      const bool same_node = topology.node_of(from) == topology.node_of(to);
      for (const auto& path : topology.paths(from, to)) {
        if (from == to) {
          continue;
        }
        const Link& first = link_of(topology, path.front());
        const Link& last = link_of(topology, path.back());
        CHECK(first.kind == (same_node ? LinkKind::device_up : LinkKind::nic_up));
        CHECK(last.kind == (same_node ? LinkKind::device_down : LinkKind::nic_down));
        CHECK(first.name.starts_with(owner(from, same_node)));
        CHECK(last.name.starts_with(owner(to, same_node)));
        if (path.size() == 4) {
          CHECK(link_of(topology, path[1]).kind == LinkKind::leaf_up);
          CHECK(link_of(topology, path[2]).kind == LinkKind::leaf_down);
        }
      }
    }
  }
}

TEST_CASE("latency is the sum over a shortest path", "[hardware][property]") {
  const auto shape = GENERATE(Shape{.nodes = 1}, Shape{.nodes = 3, .nics = 2, .spines = 2},
                              Shape{.nodes = 4, .devices = 1, .nics = 1}, Shape{.nodes = 2});
  const Topology topology(make_cluster(shape));
  for (int from = 0; from < topology.devices(); ++from) {
    const auto all = topology.paths_from(from);
    for (int to = 0; to < topology.devices(); ++to) {
      for (const auto& path : all[static_cast<std::size_t>(to)]) {
        double sum = 0.0;
        for (const int link : path) {
          sum += link_of(topology, link).latency.si();
        }
        CHECK(topology.latency(from, to).si() == sum);  // small whole numbers: exact
      }
    }
  }
}

TEST_CASE("latency counts links and switches", "[hardware][unit]") {
  // Links of a device 1 s, NICs 10 s, switches 100 s.
  const Topology topology(make_cluster({.nodes = 2, .devices = 2, .nics = 2}));
  CHECK(topology.latency(0, 0).si() == 0.0);
  CHECK(topology.latency(0, 1).si() == 2.0);    // up, down
  CHECK(topology.latency(0, 2).si() == 120.0);  // NIC, leaf, NIC
  CHECK(topology.latency(0, 3).si() == 320.0);  // NIC, leaf, spine, leaf, NIC
}

TEST_CASE("a leaf's uplinks carry its NICs' rate over the oversubscription", "[hardware][unit]") {
  const Topology topology(
      make_cluster({.nodes = 6, .devices = 4, .nics = 4, .spines = 3, .oversubscription = 2.0}));
  for (int rail = 0; rail < 4; ++rail) {
    double up = 0.0;
    double down = 0.0;
    for (int spine = 0; spine < 3; ++spine) {
      up += link_of(topology, topology.leaf_up(rail, spine)).bandwidth.si();
      down += link_of(topology, topology.leaf_down(rail, spine)).bandwidth.si();
    }
    CHECK(up == Approx(6 * 50.0 / 2.0));  // 6 NICs of 50 B/s, 2:1
    CHECK(down == Approx(6 * 50.0 / 2.0));
  }
}

// What a cluster does not need it does not have, and nothing is there twice.
TEST_CASE("links of a cluster are complete and unique", "[hardware][unit]") {
  struct Case {
    Shape shape;
    std::size_t links;
  };
  const auto c = GENERATE(Case{{.nodes = 1}, 16},                          // 8 x up, down
                          Case{{.nodes = 1, .devices = 1, .nics = 1}, 0},  // nothing to join
                          Case{{.nodes = 1, .host = true}, 32},
                          Case{{.nodes = 4, .nics = 1}, 4 * (16 + 2)},  // one rail: no spine
                          Case{{.nodes = 4, .devices = 1, .nics = 1}, 4 * 2},
                          Case{{.nodes = 4, .nics = 16}, 4 * (16 + 16) + 2 * 8 * 4},
                          Case{{.nodes = 2, .nics = 2, .spines = 3}, 2 * (16 + 4) + 2 * 2 * 3});
  const Topology topology(make_cluster(c.shape));
  CHECK(topology.links().size() == c.links);
  std::vector<std::string> names;
  for (const Link& link : topology.links()) {
    names.push_back(link.name);
    CHECK(link.bandwidth.si() > 0.0);
  }
  std::ranges::sort(names);
  CHECK(std::ranges::adjacent_find(names) == names.end());
}

// Programs written for node 0 run on node k by shifting link ids.
TEST_CASE("every node's links have the layout of the first", "[hardware][property]") {
  const Topology topology(make_cluster({.nodes = 3, .devices = 4, .nics = 2, .host = true}));
  for (int node = 0; node < 3; ++node) {
    for (int i = 0; i < topology.links_per_node(); ++i) {
      const Link& here = link_of(topology, node * topology.links_per_node() + i);
      CHECK(here.kind == link_of(topology, i).kind);
      CHECK(here.name == "node" + std::to_string(node) + link_of(topology, i).name.substr(5));
    }
  }
}

TEST_CASE("the way to host memory", "[hardware][unit]") {
  const Topology switched(make_cluster({.nodes = 2, .devices = 2, .nics = 2, .host = true}));
  const auto path = switched.host_path(3);
  CHECK(names_of(switched, path.up) == Names{"node1/gpu1/host_pcie_up"});
  CHECK(names_of(switched, path.down) == Names{"node1/gpu1/host_pcie_down"});
  // A card in a PCIe box reaches peers and host memory over the same lanes.
  const Topology box(make_cluster(
      {.nodes = 1, .devices = 2, .nics = 0, .host = true, .interconnect = NodeInterconnect::pcie}));
  const auto shared = box.host_path(1);
  CHECK(names_of(box, shared.up) == Names{"node0/gpu1/inner_up", "node0/gpu1/host_pcie_up"});
  CHECK(names_of(box, shared.down) == Names{"node0/gpu1/host_pcie_down", "node0/gpu1/inner_down"});
  CHECK(box.paths(0, 1).size() == 1);

  const Topology bare(make_cluster({}));
  CHECK_FALSE(bare.has_host());
  CHECK_THROWS_AS(bare.host_path(0), InvariantError);
}

TEST_CASE("a cluster whose parts are not joined is a defect", "[hardware][unit]") {
  Cluster cluster = make_cluster({.nodes = 2});
  cluster.node.nics = 0;
  CHECK_THROWS_AS(Topology(cluster), InvariantError);
  cluster = make_cluster({.nodes = 1});
  cluster.node.interconnect = NodeInterconnect::none;
  CHECK_THROWS_AS(Topology(cluster), InvariantError);
}

TEST_CASE("link kinds have names", "[hardware][unit]") {
  CHECK(name_of(LinkKind::device_up) == "device_up");
  CHECK(name_of(LinkKind::leaf_down) == "leaf_down");
  CHECK(name_of(LinkKind::host_down) == "host_down");
}

}  // namespace
}  // namespace moesim
