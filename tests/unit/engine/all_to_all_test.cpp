#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "random_layer.h"
#include "sim/core/error.h"
#include "sim/engine/exchange/all_to_all_links.h"
#include "tests/unit/engine/test_cluster.h"

namespace moesim {
namespace {

// Powers of two, different for each direction and class of link, so that a mix-up shows.
CommProfile test_profile(std::string_view algorithm) {
  CommProfile profile;
  profile.name = "test";
  profile.device = "gpu";
  profile.architecture = "die";
  for (const bool multi_node : {false, true}) {
    for (const Direction direction : {Direction::dispatch, Direction::combine}) {
      AllToAllFamily family;
      family.algorithm = algorithm;
      family.direction = direction;
      family.multi_node = multi_node;
      const bool out = direction == Direction::dispatch;
      family.law.base = Seconds(out ? 10e-6 : 20e-6);
      family.law.device_link_efficiency = out ? 0.5 : 0.25;
      family.law.nic_efficiency = out ? 0.125 : 0.0625;
      profile.all_to_all.push_back(family);
    }
  }
  return profile;
}

constexpr TokenPayload k_payload{512, 4, DType::fp8_block, DType::bf16};

// Messages of a dispatch, one by one: copies[{from, to}].
using Messages = std::map<std::pair<int, int>, int>;

struct Walk {
  const RandomLayer* layer;
  ReplicaChoice replicas;
  Messages messages;

  void send(int from, int to) {
    if (from != to) {
      ++messages[{from, to}];
    }
  }
  [[nodiscard]] std::vector<int> serving_ranks(std::int64_t token, int source) const {
    std::vector<int> ranks;
    for (int k = 0; k < layer->top_k; ++k) {
      const int id = layer->ids[static_cast<std::size_t>(token * layer->top_k + k)];
      if (id < layer->experts) {
        ranks.push_back(replicas.rank_of_slot(replicas.slot(source, id)));
      }
    }
    return ranks;
  }
};

void walk_token(Walk& walk, std::string_view algorithm, int source, const std::vector<int>& ranks) {
  const int per_node = walk.layer->ranks_per_node;
  const std::set<int> distinct(ranks.begin(), ranks.end());
  if (algorithm == "deepep_low_latency" || algorithm == "expert_copies") {
    for (const int rank : ranks) {
      walk.send(source, rank);
    }
  } else if (algorithm == "rank_dedup") {
    for (const int rank : distinct) {
      walk.send(source, rank);
    }
  } else if (algorithm == "tp_allreduce") {
    // Tokens are everywhere.
  } else if (algorithm == "allgather_reducescatter") {
    for (int rank = 0; rank < walk.layer->ranks; ++rank) {
      walk.send(source, rank);
    }
  } else {
    std::set<int> nodes;
    for (const int rank : distinct) {
      nodes.insert(rank / per_node);
    }
    for (const int node : nodes) {
      const int gateway = node * per_node + source % per_node;
      walk.send(source, gateway == source || node != source / per_node ? gateway : source);
      for (const int rank : distinct) {
        if (rank / per_node == node) {
          walk.send(node == source / per_node ? source : gateway, rank);
        }
      }
    }
  }
}

std::vector<double> reference_loads(const Topology& topology, const Messages& messages,
                                    Direction direction, double copy, const AllToAllLaw& law) {
  std::vector<double> bytes(topology.links().size());
  for (const auto& [pair, copies] : messages) {
    const bool out = direction == Direction::dispatch;
    const auto paths =
        topology.paths(out ? pair.first : pair.second, out ? pair.second : pair.first);
    for (const auto& path : paths) {
      for (const int link : path) {
        const LinkKind kind = topology.links()[static_cast<std::size_t>(link)].kind;
        const bool device = kind == LinkKind::device_up || kind == LinkKind::device_down;
        bytes[static_cast<std::size_t>(link)] +=
            copies * copy / static_cast<double>(paths.size()) /
            (device ? law.device_link_efficiency : law.nic_efficiency);
      }
    }
  }
  return bytes;
}

std::vector<double> dense(const CollectiveCost& cost, std::size_t links) {
  std::vector<double> bytes(links);
  for (const LinkLoad& load : cost.loads) {
    bytes[static_cast<std::size_t>(load.link)] = load.bytes;
  }
  return bytes;
}

bool alike(const std::vector<double>& a, const std::vector<double>& b) {
  return std::ranges::equal(a, b, [](double x, double y) {
    return std::abs(x - y) <= 1e-9 * std::max(std::abs(x), std::abs(y));
  });
}

double sum_over(const Topology& topology, const CollectiveCost& cost, LinkKind kind) {
  double sum = 0.0;
  for (const LinkLoad& load : cost.loads) {
    if (topology.links()[static_cast<std::size_t>(load.link)].kind == kind) {
      sum += load.bytes;
    }
  }
  return sum;
}

struct Lowered {
  CollectiveCost dispatch;
  CollectiveCost combine;
  LayerTraffic traffic;
};

Lowered lower_layer(AllToAllLowering& lowering, const RandomLayer& layer) {
  const auto nodes = lowering.node_of_rank();
  const ReplicaChoice replicas(layer.placement, 0, nodes);
  Lowered out;
  TrafficCounter counter;
  counter.begin(replicas, true, out.traffic);
  counter.add(layer.picks(), layer.layout, 1);
  counter.finish();
  lowering.lower({&layer.layout, &out.traffic}, out.dispatch, out.combine);
  return out;
}

}  // namespace

TEST_CASE("every all-to-all loads links as its messages do, one by one",
          "[engine][all_to_all][property]") {
  const auto entries = all_to_all_algorithms();
  int several_nodes = 0;
  int single_device_nodes = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const AllToAllEntry& entry = entries[seed % entries.size()];
    CAPTURE(seed, entry.name);
    Rng rng = RngStreams(seed).stream("all_to_all");
    const int nodes = draw(rng, 1, 4);
    const int per_node = draw(rng, nodes == 1 ? 2 : 1, 6);
    const RandomLayer layer = random_layer_on(rng, nodes, per_node);
    const Topology topology(test_cluster(nodes, per_node));
    const std::vector<CommProfile> profiles{test_profile(entry.name)};
    AllToAllSpec spec;
    spec.algorithm = entry.name;
    spec.payload = k_payload;
    spec.slots = layer.placement.slots();
    AllToAllLowering lowering(topology, profiles, {"gpu", "die"}, spec, "test");
    const Lowered lowered = lower_layer(lowering, layer);

    Walk walk{&layer, ReplicaChoice(layer.placement, 0, layer.node_of_rank), {}};
    for (int source = 0; source < layer.ranks; ++source) {
      const auto s = static_cast<std::size_t>(source);
      for (std::int64_t t = layer.layout.first[s]; t < layer.layout.first[s + 1]; ++t) {
        walk_token(walk, entry.name, source, walk.serving_ranks(t, source));
      }
    }
    const std::size_t links = topology.links().size();
    REQUIRE(alike(dense(lowered.dispatch, links),
                  reference_loads(topology, walk.messages, Direction::dispatch,
                                  entry.dispatch_bytes(k_payload).si(),
                                  lowering.law(Direction::dispatch).law)));
    REQUIRE(alike(dense(lowered.combine, links),
                  reference_loads(topology, walk.messages, Direction::combine,
                                  entry.combine_bytes(k_payload).si(),
                                  lowering.law(Direction::combine).law)));
    int copies = 0;
    for (const auto& [pair, count] : walk.messages) {
      copies += count;
    }
    REQUIRE(lowered.dispatch.payload_bytes == copies * entry.dispatch_bytes(k_payload).si());
    REQUIRE(lowered.combine.payload_bytes == copies * entry.combine_bytes(k_payload).si());
    // Sent = received, per class of link.
    for (const CollectiveCost* cost : {&lowered.dispatch, &lowered.combine}) {
      for (const auto& [up, down] : {std::pair{LinkKind::device_up, LinkKind::device_down},
                                     std::pair{LinkKind::nic_up, LinkKind::nic_down},
                                     std::pair{LinkKind::leaf_up, LinkKind::leaf_down}}) {
        REQUIRE(sum_over(topology, *cost, up) == Approx(sum_over(topology, *cost, down)));
      }
    }
    several_nodes += static_cast<int>(nodes > 1);
    single_device_nodes += static_cast<int>(per_node == 1);
  }
  CHECK(several_nodes > 100);
  CHECK(single_device_nodes > 10);
}

// DeepSeek-V3, FP8 out and BF16 back: 7168 values + 56 scales of 4 bytes + 16 bytes of header.
TEST_CASE("payloads of DeepEP's low-latency kernels", "[engine][all_to_all][unit]") {
  const AllToAllEntry& entry = find_all_to_all_algorithm("deepep_low_latency", "test");
  const TokenPayload payload{7168, 8, DType::fp8_block, DType::bf16};
  CHECK(entry.dispatch_bytes(payload).si() == 7168 + 224 + 16);
  CHECK(entry.combine_bytes(payload).si() == 2 * 7168);
  CHECK(activation_bytes(130, DType::fp8).si() == 130 + 8);
  CHECK(activation_bytes(128, DType::bf16).si() == 256);
}

// One node of two devices; rank 0 sends 3 pairs to the only expert, on rank 1. 3 copies of 512 + 16
// scale + 16 header bytes at half efficiency: 3264 bytes. Two sources feed the expert, half of its
// 1632 bytes each: at 25 GB/s that takes what 816 * 200/25 = 6528 bytes take on its 200 GB/s link.
TEST_CASE("a busy expert can be slower than its link", "[engine][all_to_all][unit]") {
  const Topology topology(test_cluster(1, 2));
  RandomLayer layer;
  layer.ranks = 2;
  layer.ranks_per_node = 2;
  layer.layout.first = {0, 3, 3};
  layer.ids = {0, 0, 0};
  layer.node_of_rank = {0, 0};
  layer.placement = {1, 2, {0, 0, 1}, {{0}}};
  auto profile = test_profile("deepep_low_latency");
  AllToAllSpec spec;
  spec.algorithm = "deepep_low_latency";
  spec.payload = k_payload;
  for (const double rate : {0.0, 25e9, 75e9}) {
    for (AllToAllFamily& family : profile.all_to_all) {
      family.law.stream_rate = Bandwidth(rate);
    }
    const std::vector<CommProfile> profiles{profile};
    AllToAllLowering lowering(topology, profiles, {"gpu", "die"}, spec, "test");
    const Lowered lowered = lower_layer(lowering, layer);
    const auto bytes = dense(lowered.dispatch, topology.links().size());
    CHECK(bytes[static_cast<std::size_t>(topology.device_up(0))] == 3264);
    CHECK(bytes[static_cast<std::size_t>(topology.device_down(1))] ==
          Approx(rate == 25e9 ? 6528 : 3264));
    CHECK(lowered.dispatch.payload_bytes == 3 * 544);
    CHECK(lowered.dispatch.latency == Seconds(10e-6));
    CHECK(lowered.combine.latency == Seconds(20e-6));
  }
}

// Two lanes on the even and the odd devices carry the same traffic side by side.
TEST_CASE("lanes exchange the same traffic on their own devices", "[engine][all_to_all][unit]") {
  Rng rng = RngStreams(7).stream("lanes");
  const RandomLayer layer = random_layer_on(rng, 1, 4);
  const std::vector<CommProfile> profiles{test_profile("rank_dedup")};
  AllToAllSpec spec;
  spec.algorithm = "rank_dedup";
  spec.payload = k_payload;
  const Topology four(test_cluster(1, 4));
  AllToAllLowering plain(four, profiles, {"gpu", "die"}, spec, "test");
  const Lowered one = lower_layer(plain, layer);
  spec.lanes = {{0, 2, 4, 6}, {1, 3, 5, 7}};
  const Topology eight(test_cluster(1, 8));
  AllToAllLowering laned(eight, profiles, {"gpu", "die"}, spec, "test");
  const Lowered two = lower_layer(laned, layer);
  const auto single = dense(one.dispatch, four.links().size());
  const auto pair = dense(two.dispatch, eight.links().size());
  CHECK(two.dispatch.payload_bytes == 2 * one.dispatch.payload_bytes);
  for (int rank = 0; rank < 4; ++rank) {
    for (const int lane : {0, 1}) {
      const int device = 2 * rank + lane;
      CHECK(pair[static_cast<std::size_t>(eight.device_up(device))] ==
            single[static_cast<std::size_t>(four.device_up(rank))]);
      CHECK(pair[static_cast<std::size_t>(eight.device_down(device))] ==
            single[static_cast<std::size_t>(four.device_down(rank))]);
    }
  }
}

// Two lanes over nodes, on devices 0, 2 and 1, 3 of four: each lane's messages, one by one.
TEST_CASE("lanes over several nodes load links as their messages do",
          "[engine][all_to_all][property]") {
  for (const AllToAllEntry& entry : all_to_all_algorithms()) {
    CAPTURE(entry.name);
    Rng rng = RngStreams(11).stream(entry.name);
    const RandomLayer layer = random_layer_on(rng, 3, 2);
    const Topology topology(test_cluster(3, 4));
    const std::vector<CommProfile> profiles{test_profile(entry.name)};
    AllToAllSpec spec;
    spec.algorithm = entry.name;
    spec.payload = k_payload;
    spec.lanes = {{0, 2, 4, 6, 8, 10}, {1, 3, 5, 7, 9, 11}};
    AllToAllLowering lowering(topology, profiles, {"gpu", "die"}, spec, "test");
    const Lowered lowered = lower_layer(lowering, layer);
    Walk walk{&layer, ReplicaChoice(layer.placement, 0, layer.node_of_rank), {}};
    for (int source = 0; source < layer.ranks; ++source) {
      const auto s = static_cast<std::size_t>(source);
      for (std::int64_t t = layer.layout.first[s]; t < layer.layout.first[s + 1]; ++t) {
        walk_token(walk, entry.name, source, walk.serving_ranks(t, source));
      }
    }
    Messages on_devices;
    for (const auto& [pair, copies] : walk.messages) {
      for (const auto& lane : spec.lanes) {
        on_devices[{lane[static_cast<std::size_t>(pair.first)],
                    lane[static_cast<std::size_t>(pair.second)]}] += copies;
      }
    }
    const std::size_t links = topology.links().size();
    CHECK(alike(dense(lowered.dispatch, links),
                reference_loads(topology, on_devices, Direction::dispatch,
                                entry.dispatch_bytes(k_payload).si(),
                                lowering.law(Direction::dispatch).law)));
    CHECK(alike(dense(lowered.combine, links),
                reference_loads(topology, on_devices, Direction::combine,
                                entry.combine_bytes(k_payload).si(),
                                lowering.law(Direction::combine).law)));
    for (const CollectiveCost* cost : {&lowered.dispatch, &lowered.combine}) {
      CHECK(std::ranges::is_sorted(cost->loads, {}, &LinkLoad::link));
    }
  }
}

TEST_CASE("an unknown all-to-all lists the names there are", "[engine][all_to_all][unit]") {
  CHECK_THROWS_WITH(find_all_to_all_algorithm("deepep", "run.json#/policy/all_to_all"),
                    Catch::Contains("run.json#/policy/all_to_all") &&
                        Catch::Contains("deepep_low_latency, deepep_normal"));
}

}  // namespace moesim
