#include <catch2/catch.hpp>

#include "sim/engine/exchange/collective_links.h"
#include "tests/unit/engine/test_cluster.h"

namespace moesim {
namespace {

// Alone, latency + bytes / nominal rate is the law's time; the loads are a ring's.
TEST_CASE("a collective alone takes its law's time", "[engine][all_to_all][unit]") {
  const Topology topology(test_cluster(1, 4));
  FoundCollective found;
  found.law.protocols = {{Seconds(5e-6), Seconds(1e-6), 0.1, 0.0},
                         {Seconds(15e-6), Seconds(2e-6), 0.8, 1e-4}};
  const std::vector<int> devices{0, 1, 2, 3};
  for (const double size : {1e3, 1e5, 1e6, 1e8, 1e9}) {
    const auto cost =
        lower_collective(topology, found, CollectiveOp::all_reduce, devices, Bytes(size));
    REQUIRE(cost.loads.size() == 8);  // up and down of four devices
    const double moving = cost.loads.front().bytes / 200e9;
    CHECK(cost.latency.si() + moving ==
          Approx(found.law.time(CollectiveOp::all_reduce, 4, Bytes(size), Bandwidth(200e9)).si()));
    CHECK(cost.loads.front().bytes <= Approx(1.5 * size / 0.8));
    CHECK_FALSE(cost.extrapolated);
  }
  CHECK(lower_collective(topology, found, CollectiveOp::all_reduce, std::vector<int>{2}, Bytes(1e6))
            .loads.empty());
}

// Remembered or not: groups at other places, in other nodes, of other sizes, over nodes.
TEST_CASE("a remembered collective is the one worked out afresh",
          "[engine][all_to_all][property]") {
  const Topology topology(test_cluster(3, 4));
  FoundCollective found;
  found.law.protocols = {{Seconds(5e-6), Seconds(1e-6), 0.1, 0.0}};
  CollectiveLowering remembered(topology);
  const std::vector<std::vector<int>> groups{{0, 1},       {4, 5}, {6, 7},  {8, 9, 10, 11},
                                             {0, 1, 2, 3}, {8, 9}, {3, 11}, {1, 0}};
  for (int round = 0; round < 2; ++round) {
    for (const auto& group : groups) {
      for (const auto op : {CollectiveOp::all_reduce, CollectiveOp::all_gather}) {
        for (const double size : {1e4, 1e7}) {
          CAPTURE(group, size);
          const CollectiveCost& got = remembered.lower(found, op, group, Bytes(size));
          const CollectiveCost want = lower_collective(topology, found, op, group, Bytes(size));
          REQUIRE(got.loads.size() == want.loads.size());
          for (std::size_t i = 0; i < want.loads.size(); ++i) {
            REQUIRE(got.loads[i].link == want.loads[i].link);
            REQUIRE(got.loads[i].bytes == want.loads[i].bytes);
            REQUIRE(got.loads[i].payload == want.loads[i].payload);
          }
          REQUIRE(got.latency == want.latency);
          REQUIRE(got.extrapolated == (want.extrapolated || group == std::vector<int>{3, 11}));
        }
      }
    }
  }
}

// Both rings' links by their paths: a ring over two nodes goes out over one NIC and back in over
// another.
TEST_CASE("a ring over nodes loads the links of its hops", "[engine][all_to_all][unit]") {
  const Topology topology(test_cluster(2, 2));
  FoundCollective found;
  found.law.protocols = {{Seconds(5e-6), Seconds(1e-6), 0.5, 0.0}};
  const std::vector<int> devices{0, 1, 2, 3};
  const auto cost =
      lower_collective(topology, found, CollectiveOp::all_gather, devices, Bytes(4e6));
  std::vector<double> expected(topology.links().size());
  for (std::size_t i = 0; i < devices.size(); ++i) {
    const auto paths = topology.paths(devices[i], devices[(i + 1) % devices.size()]);
    for (const auto& path : paths) {
      for (const int link : path) {
        expected[static_cast<std::size_t>(link)] += 3e6 / static_cast<double>(paths.size());
      }
    }
  }
  std::vector<double> payload(topology.links().size());
  for (const LinkLoad& load : cost.loads) {
    payload[static_cast<std::size_t>(load.link)] = load.payload;
  }
  for (std::size_t l = 0; l < payload.size(); ++l) {
    CHECK(payload[l] == Approx(expected[l]).epsilon(1e-12));
  }
  CHECK(cost.extrapolated);
}

}  // namespace
}  // namespace moesim
