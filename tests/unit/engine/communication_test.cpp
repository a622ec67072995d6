#include "sim/engine/exchange/algorithms/communication.h"

#include <catch2/catch.hpp>
#include <numeric>

#include "sim/core/error.h"
#include "sim/core/rng.h"
#include "sim/engine/exchange/algorithms/flow_splitting.h"
#include "tests/unit/engine/test_cluster.h"

namespace moesim {
namespace {

// 8 devices a node; alpha 1 s per message and rates that make bytes visible beside it.
CommFabric fabric() {
  return {.devices_per_node = 8,
          .memory = {Seconds(0.5), Bandwidth(1e9)},
          .node = {Seconds(1.0), Bandwidth(1e6)},
          .network = {Seconds(2.0), Bandwidth(1e3)}};
}

CommTask task(std::int64_t devices, double bytes) {
  return {.devices = devices, .bytes = Bytes(bytes), .parts = {}};
}

double network_bytes(const CommPlan& plan) { return plan.bytes(Crossing::network).si(); }

}  // namespace

// Tutel section 3.4: linear n messages of S/n; 2DH messages of S/m in the node, S m/n between.
TEST_CASE("all-to-alls send the published messages", "[engine][exchange][unit]") {
  const double size = 128.0 * 1024 * 1024;
  for (const std::int64_t n : {8, 16, 128, 2048}) {
    const CommPlan flat = pairwise_all_to_all(task(n, size), fabric());
    CHECK(flat.messages() == n);  // its own block counts
    CHECK(flat.steps[1].message.si() == size / static_cast<double>(n));
    const CommPlan two = two_dimensional_all_to_all(task(n, size), fabric());
    CHECK(two.steps[1].messages == 7);
    CHECK(two.steps[1].message.si() == size / 8);
    CHECK(two.steps[3].messages == n / 8 - 1);
    CHECK(two.steps[3].message.si() == size * 8 / static_cast<double>(n));
    // What leaves the node is the same; hierarchies add hops in the node, 2 S (m-1)/m at most.
    CHECK(network_bytes(two) == Approx(network_bytes(flat)));
    CHECK(network_bytes(flat) ==
          Approx(size * static_cast<double>(n - 8) / static_cast<double>(n)));
    const CommPlan stages = hierarchical_all_to_all(task(n, size), fabric());
    CHECK(stages.steps[1].messages + stages.steps[3].messages + 2 == 8 + n / 8);
  }
}

// DeepSpeed-MoE section 5.3: p C1 + C2 -> p/L C1 + C2, and O(L) for the all-gather.
TEST_CASE("coordinated all-to-all divides messages by the tensor-parallel degree",
          "[engine][exchange][unit]") {
  CommTask coordinated = task(128, 1e6);
  for (const std::int64_t tensor : {1, 2, 4, 8}) {
    coordinated.tensor = tensor;
    const CommPlan plan = coordinated_all_to_all(coordinated, fabric());
    CHECK(plan.messages() == 128 / tensor + tensor - 1);
    CHECK(plan.steps[2].message.si() == Approx(1e6 / 128));
    CHECK(plan.steps[3].bytes().si() ==
          Approx(1e6 * static_cast<double>(tensor - 1) / static_cast<double>(tensor)));
  }
  coordinated.tensor = 1;
  CHECK(time_of(coordinated_all_to_all(coordinated, fabric()), fabric()) ==
        time_of(pairwise_all_to_all(coordinated, fabric()), fabric()));
  coordinated.tensor = 3;
  CHECK_THROWS_AS(coordinated_all_to_all(coordinated, fabric()), ConfigError);
}

TEST_CASE("gathers of uneven parts wait for the largest", "[engine][exchange][unit]") {
  CommTask gather = task(4, 1000);
  CHECK(ring_all_gather(gather, fabric()).bytes(Crossing::node).si() == Approx(750));
  gather.parts = {1, 1, 1, 5};
  CHECK(ring_all_gather(gather, fabric()).steps[0].message.si() == Approx(625));
  CHECK(ring_reduce_scatter(gather, fabric()).steps[0].messages == 3);
  gather.parts = {1, 1, 1};
  CHECK_THROWS_AS(ring_all_gather(gather, fabric()), ConfigError);
}

// Hecate section 3.1: lambda S, and S where all chunks are chosen.
TEST_CASE("sparse gathers move the chosen share", "[engine][exchange][unit]") {
  CommTask gather = task(32, 64e6);
  gather.experts = 64;
  for (const std::int64_t chosen : {0, 1, 8, 32, 64}) {
    gather.chosen = chosen;
    const double lambda = static_cast<double>(chosen) / 64;
    const double own = static_cast<double>(chosen / 32) * 1e6;
    CHECK(sparse_all_gather(gather, fabric()).bytes(Crossing::network).si() ==
          Approx(lambda * 64e6 - own));
    CHECK(sparse_reduce_scatter(gather, fabric()).messages() ==
          sparse_all_gather(gather, fabric()).messages());
  }
  gather.chosen = 65;
  CHECK_THROWS_AS(sparse_all_gather(gather, fabric()), ConfigError);
}

TEST_CASE("steps take alpha per message and bytes at the link's rate", "[engine][exchange][unit]") {
  const CommPlan flat = pairwise_all_to_all(task(16, 1.6e6), fabric());
  CHECK(time_of(flat, fabric()).si() ==
        Approx((0.5 + 1e5 / 1e9) + 7 * (1.0 + 1e5 / 1e6) + 8 * (2.0 + 1e5 / 1e3)));
  CHECK_THROWS_AS(pairwise_all_to_all(task(12, 1), fabric()), ConfigError);
}

TEST_CASE("a fabric is the cluster's links", "[engine][exchange][unit]") {
  const Cluster cluster = test_cluster(2, 4);
  const CommFabric links = comm_fabric(cluster, Seconds(1e-5), Seconds(2e-6));
  CHECK(links.devices_per_node == 4);
  CHECK(links.node.rate == cluster.node.device_link.bandwidth);
  CHECK(links.node.alpha == cluster.node.device_link.latency + Seconds(1e-5));
  CHECK(links.memory.alpha == Seconds(2e-6));
  CHECK(links.memory.rate.si() == Approx(cluster.node.device.memory.read.si() / 2));
}

// arXiv:2407.00550: equal to the bit, whatever the fabric; hashed flows are never better.
TEST_CASE("minimal splitting loads links as spraying does", "[engine][exchange][property]") {
  const FlowSplitting* split = find_flow_splitting("minimal_split");
  const FlowSplitting* ecmp = find_flow_splitting("ecmp");
  REQUIRE(split != nullptr);
  REQUIRE(ecmp != nullptr);
  Rng rng(7);
  for (int i = 0; i < 300; ++i) {
    const LeafSpineTask one{.leaves = 2 + static_cast<std::int64_t>(rng.below(6)),
                            .spines = 1 + static_cast<std::int64_t>(rng.below(16)),
                            .flows = 1 + static_cast<std::int64_t>(rng.below(70))};
    CAPTURE(one.leaves, one.spines, one.flows);
    const LinkLoads loads = split->loads(one);
    CHECK(loads.most == Approx(loads.ideal).epsilon(1e-14));
    CHECK(ecmp->loads(one).most >= loads.ideal * (1 - 1e-14));
    const std::int64_t rest = one.flows % one.spines;
    const std::int64_t pieces = one.spines / std::gcd(rest, one.spines);
    CHECK(loads.subflows == one.leaves * (one.leaves - 1) * rest * (rest == 0 ? 1 : pieces));
  }
}

}  // namespace moesim
