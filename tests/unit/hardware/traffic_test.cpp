#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "hardware/topology.h"
#include "sim/core/rng.h"
#include "tests/unit/hardware/support.h"

namespace moesim {
namespace {

using test::make_cluster;
using test::Shape;

std::size_t as_size(int value) { return static_cast<std::size_t>(value); }

// Amounts over several orders of magnitude, with zeros and with a diagonal.
std::vector<double> random_traffic(int devices, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<double> amount(as_size(devices) * as_size(devices));
  for (double& a : amount) {
    a = rng.below(4) == 0 ? 0.0 : std::exp(6.0 * rng.uniform());
  }
  return amount;
}

// The definition: every pair's amount, split evenly over its paths.
std::vector<double> by_paths(const Topology& topology, const std::vector<double>& amount) {
  std::vector<double> on_link(topology.links().size());
  for (int from = 0; from < topology.devices(); ++from) {
    const auto all = topology.paths_from(from);
    for (int to = 0; to < topology.devices(); ++to) {
      const auto& paths = all[as_size(to)];
      const double share =
          amount[as_size(from * topology.devices() + to)] / static_cast<double>(paths.size());
      for (const auto& path : paths) {
        for (const int link : path) {
          on_link[as_size(link)] += share;
        }
      }
    }
  }
  return on_link;
}

// The same by the tables of routes.
std::vector<double> by_routes(const Topology& topology, const std::vector<double>& amount) {
  std::vector<double> on_link(topology.links().size());
  for (int from = 0; from < topology.devices(); ++from) {
    for (int to = 0; to < topology.devices(); ++to) {
      topology.routes().spread(from, to, amount[as_size(from * topology.devices() + to)],
                               [&](int link, double part) { on_link[as_size(link)] += part; });
    }
  }
  return on_link;
}

void check_against_paths(const Shape& shape, std::uint64_t seed) {
  const Topology topology(make_cluster(shape));
  const auto amount = random_traffic(topology.devices(), seed);
  const auto expected = by_paths(topology, amount);
  const auto actual = by_routes(topology, amount);
  for (std::size_t i = 0; i < actual.size(); ++i) {
    CAPTURE(topology.links()[i].name);
    // Both add the same positive terms in another order; 256 x 256 of them stay below 1e-12.
    CHECK(std::abs(actual[i] - expected[i]) <= 1e-12 * expected[i]);
  }
}

TEST_CASE("traffic on links is the sum over paths, chosen shapes", "[hardware][property]") {
  const auto shape = GENERATE(
      Shape{.nodes = 1}, Shape{.nodes = 4}, Shape{.nodes = 32},
      Shape{.nodes = 3, .nics = 4},  // two devices share a NIC
      Shape{.nodes = 3, .nics = 1}, Shape{.nodes = 3, .nics = 12},
      Shape{.nodes = 5, .oversubscription = 3.0}, Shape{.nodes = 4, .spines = 1},
      Shape{.nodes = 6, .devices = 1, .nics = 1}, Shape{.nodes = 1, .devices = 1, .nics = 1},
      Shape{.nodes = 2, .devices = 5, .nics = 5, .host = true},
      Shape{.nodes = 2, .devices = 4, .interconnect = NodeInterconnect::pcie});
  CAPTURE(shape.nodes, shape.devices, shape.nics, shape.spines);
  check_against_paths(shape, 7);
}

TEST_CASE("traffic on links is the sum over paths, drawn shapes", "[hardware][property]") {
  int shared_nics = 0;
  int several_spines = 0;
  int lone_devices = 0;
  int odd_widths = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const auto draw = [&](std::uint64_t most) { return 1 + static_cast<int>(rng.below(most)); };
    Shape shape{.nodes = draw(5), .devices = draw(9), .spines = draw(4)};
    const int per_nic = draw(3);
    shape.nics = shape.devices % per_nic == 0 ? shape.devices / per_nic : shape.devices;
    shape.host = rng.below(2) == 0;
    check_against_paths(shape, seed);
    shared_nics += shape.nodes > 1 && shape.nics < shape.devices ? 1 : 0;
    several_spines += shape.nodes > 1 && shape.nics > 1 && shape.spines > 1 ? 1 : 0;
    lone_devices += shape.nodes > 1 && shape.devices == 1 ? 1 : 0;
    odd_widths += shape.devices % 2;
  }
  CHECK(shared_nics > 20);
  CHECK(several_spines > 50);
  CHECK(lone_devices > 5);
  CHECK(odd_widths > 50);
}

// 2 nodes x 2 devices, own NICs, 2 spines; all amounts are different powers of two, so each sum
// tells its terms.
TEST_CASE("traffic of four devices, by hand", "[hardware][unit]") {
  const Topology topology(make_cluster({.nodes = 2, .devices = 2, .nics = 2, .spines = 2}));
  std::vector<double> amount(16);
  amount[0 * 4 + 0] = 1024;  // stays: on no link
  amount[0 * 4 + 1] = 1;     // inside node 0
  amount[0 * 4 + 2] = 2;     // rail 0 to rail 0
  amount[0 * 4 + 3] = 4;     // rail 0 to rail 1
  amount[3 * 4 + 0] = 8;     // rail 1 to rail 0, back
  amount[3 * 4 + 2] = 16;    // inside node 1
  const auto on_link = by_routes(topology, amount);
  const auto at = [&](int link) { return on_link[as_size(link)]; };
  CHECK(at(topology.device_up(0)) == 1);
  CHECK(at(topology.device_down(0)) == 0);
  CHECK(at(topology.device_down(1)) == 1);
  CHECK(at(topology.device_up(1)) == 0);
  CHECK(at(topology.device_up(3)) == 16);
  CHECK(at(topology.device_down(2)) == 16);
  CHECK(at(topology.nic_up(0, 0)) == 2 + 4);
  CHECK(at(topology.nic_down(0, 0)) == 8);
  CHECK(at(topology.nic_up(0, 1)) == 0);
  CHECK(at(topology.nic_up(1, 1)) == 8);
  CHECK(at(topology.nic_down(1, 0)) == 2);
  CHECK(at(topology.nic_down(1, 1)) == 4);
  for (int spine = 0; spine < 2; ++spine) {
    CHECK(at(topology.leaf_up(0, spine)) == 2);    // half of 4
    CHECK(at(topology.leaf_down(1, spine)) == 2);  // half of 4
    CHECK(at(topology.leaf_up(1, spine)) == 4);    // half of 8
    CHECK(at(topology.leaf_down(0, spine)) == 4);  // half of 8
  }
}

// What is sent arrives: per node, and in all.
TEST_CASE("links conserve traffic", "[hardware][property]") {
  const auto nics = GENERATE(1, 2, 8);
  CAPTURE(nics);
  const Topology topology(make_cluster({.nodes = 4, .nics = nics, .spines = 3}));
  const auto amount = random_traffic(32, 11);
  const auto on_link = by_routes(topology, amount);
  std::vector<double> by_kind(8);
  for (std::size_t i = 0; i < on_link.size(); ++i) {
    by_kind[static_cast<std::size_t>(topology.links()[i].kind)] += on_link[i];
  }
  const auto total = [&](LinkKind kind) { return by_kind[static_cast<std::size_t>(kind)]; };
  double intra_node = 0.0;
  double inter_node = 0.0;
  for (int from = 0; from < topology.devices(); ++from) {
    for (int to = 0; to < topology.devices(); ++to) {
      if (from != to) {
        (topology.node_of(from) == topology.node_of(to) ? intra_node : inter_node) +=
            amount[as_size(from * topology.devices() + to)];
      }
    }
  }
  CHECK(total(LinkKind::device_up) == Approx(intra_node).epsilon(1e-12));
  CHECK(total(LinkKind::device_down) == Approx(intra_node).epsilon(1e-12));
  CHECK(total(LinkKind::nic_up) == Approx(inter_node).epsilon(1e-12));
  CHECK(total(LinkKind::nic_down) == Approx(inter_node).epsilon(1e-12));
  CHECK(total(LinkKind::leaf_up) == Approx(total(LinkKind::leaf_down)).epsilon(1e-12));
  CHECK((total(LinkKind::leaf_up) > 0.0) == (nics > 1));
}

TEST_CASE("every link has a reverse, between the same ends", "[hardware][property]") {
  const Topology topology(make_cluster({.nodes = 3, .nics = 4, .spines = 2, .host = true}));
  for (std::size_t i = 0; i < topology.links().size(); ++i) {
    const int link = static_cast<int>(i);
    CHECK(topology.reverse(link) != link);
    CHECK(topology.reverse(topology.reverse(link)) == link);
  }
  // Backwards, a path uses the reverse of its links.
  for (const auto& [from, to] : {std::pair{0, 1}, {0, 8}, {1, 18}, {7, 12}}) {
    auto there = topology.paths(from, to);
    for (auto& path : there) {
      std::ranges::reverse(path);
      std::ranges::transform(path, path.begin(), [&](int link) { return topology.reverse(link); });
    }
    auto back = topology.paths(to, from);
    std::ranges::sort(there);
    std::ranges::sort(back);
    CHECK(there == back);
  }
  const auto host = topology.host_path(5);
  CHECK(topology.reverse(host.up.front()) == host.down.front());
}

// Places that use one NIC share their ways: the fabric tells rails apart, not devices.
TEST_CASE("pairs of places are classed by the rails they use", "[hardware][unit]") {
  const Topology topology(make_cluster({.nodes = 2, .devices = 8, .nics = 2, .spines = 3}));
  const Routes& routes = topology.routes();
  CHECK(routes.ways().size() == 3);  // no fabric link, and one set of ways each way
  CHECK(routes.ways_between(0, 2) == routes.ways_between(4, 6));
  CHECK(routes.ways_between(0, 1) == routes.ways_between(2, 7));
  CHECK(routes.ways_between(0, 1) != routes.ways_between(1, 0));
  CHECK(routes.ways()[as_size(routes.ways_between(0, 1))].size() == 3);
}

}  // namespace
}  // namespace moesim
