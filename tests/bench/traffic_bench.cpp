// Counting and lowering of DeepSeek-V3-like decode steps: 58 MoE layers, 256 experts, top-8.
#include <benchmark/benchmark.h>

#include <numeric>

#include "sim/core/rng.h"
#include "sim/engine/exchange/all_to_all_links.h"
#include "sim/engine/exchange/step_traffic.h"

namespace moesim {
namespace {

constexpr int k_layers = 58;
constexpr int k_experts = 256;
constexpr int k_top_k = 8;
constexpr int k_redundant = 32;
constexpr int k_tokens_per_rank = 128;

Cluster cluster_of(int nodes) {
  Cluster cluster;
  cluster.nodes = nodes;
  cluster.node.devices = 8;
  cluster.node.interconnect = NodeInterconnect::nvswitch;
  cluster.node.device_link = {"nvlink", Bandwidth(450e9), Seconds(1e-6), 0.0};
  cluster.node.nics = 8;
  cluster.node.nic_link = {"ib", Bandwidth(50e9), Seconds(2e-6), 0.0};
  cluster.fabric.kind = FabricKind::leaf_spine;
  cluster.fabric.spines = 8;
  return cluster;
}

struct Step {
  int ranks;
  std::vector<std::uint16_t> ids;  // [layer][token][k]
  TokenLayout layout;
  ExpertPlacement placement;

  explicit Step(int nodes) : ranks(8 * nodes), layout(even_layout(ranks, k_tokens_per_rank)) {
    Rng rng(1);
    std::vector<std::uint16_t> all(k_experts);
    std::iota(all.begin(), all.end(), std::uint16_t{0});
    const std::int64_t tokens = k_layers * layout.tokens();
    ids.reserve(static_cast<std::size_t>(tokens * k_top_k));
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::size_t k = 0; k < k_top_k; ++k) {
        std::swap(all[k], all[k + rng.below(k_experts - k)]);
      }
      ids.insert(ids.end(), all.begin(), all.begin() + k_top_k);
    }
    // Contiguous, with replicas of experts 0..31 on ranks half the machine away.
    placement.experts = k_experts;
    placement.devices = ranks;
    placement.first_slot = {0};
    placement.slot_expert.resize(k_layers);
    for (int d = 0; d < ranks; ++d) {
      for (int e = d * k_experts / ranks; e < (d + 1) * k_experts / ranks; ++e) {
        add_slot(e);
      }
      const int shifted = (d + ranks / 2) % ranks;
      for (int e = shifted * k_redundant / ranks; e < (shifted + 1) * k_redundant / ranks; ++e) {
        add_slot(e);
      }
      placement.first_slot.push_back(static_cast<int>(placement.slot_expert[0].size()));
    }
  }

  void add_slot(int expert) {
    for (auto& layer : placement.slot_expert) {
      layer.push_back(expert);
    }
  }

  [[nodiscard]] LayerPicks picks(int layer) const {
    const auto size = static_cast<std::size_t>(layout.tokens() * k_top_k);
    return {std::span(ids).subspan(static_cast<std::size_t>(layer) * size, size), k_top_k,
            k_experts};
  }
};

std::vector<int> nodes_of(const Step& step) {
  std::vector<int> nodes;
  for (int r = 0; r < step.ranks; ++r) {
    nodes.push_back(r / 8);
  }
  return nodes;
}

// Picks alone.
void count_step(benchmark::State& state) {
  const Step step(static_cast<int>(state.range(0)));
  ExpertCounts counts;
  for (auto _ : state) {
    for (int layer = 0; layer < k_layers; ++layer) {
      count_experts(step.picks(layer), step.layout, counts);
      benchmark::DoNotOptimize(counts.count.data());
    }
  }
  state.counters["picks"] = static_cast<double>(step.ids.size());
}
BENCHMARK(count_step)->Arg(4)->Arg(32)->Unit(benchmark::kMillisecond);

// From picks to traffic, with distinct copies or without.
void traffic_of_tokens(benchmark::State& state) {
  const Step step(static_cast<int>(state.range(0)));
  const auto replicas = replica_choices(step.placement, nodes_of(step));
  TrafficCounter counter;
  LayerTraffic traffic;
  for (auto _ : state) {
    for (int layer = 0; layer < k_layers; ++layer) {
      counter.begin(replicas[static_cast<std::size_t>(layer)], state.range(1) != 0, traffic);
      counter.add(step.picks(layer), step.layout, 1);
      counter.finish();
      benchmark::DoNotOptimize(traffic.load.data());
    }
  }
}
BENCHMARK(traffic_of_tokens)->ArgsProduct({{4, 32}, {0, 1}})->Unit(benchmark::kMillisecond);

// From counts, as when they are expected.
void traffic_of_counts(benchmark::State& state) {
  const Step step(static_cast<int>(state.range(0)));
  const auto replicas = replica_choices(step.placement, nodes_of(step));
  std::vector<ExpertCounts> counts(k_layers);
  for (int layer = 0; layer < k_layers; ++layer) {
    count_experts(step.picks(layer), step.layout, counts[static_cast<std::size_t>(layer)]);
  }
  TrafficCounter counter;
  LayerTraffic traffic;
  for (auto _ : state) {
    for (std::size_t layer = 0; layer < k_layers; ++layer) {
      counter.begin(replicas[layer], false, traffic);
      counter.add(counts[layer], 1);
      counter.finish();
      benchmark::DoNotOptimize(traffic.load.data());
    }
  }
}
BENCHMARK(traffic_of_counts)->Arg(4)->Arg(32)->Unit(benchmark::kMillisecond);

// From traffic to links: the engine's share.
void lower_step(benchmark::State& state) {
  const int nodes = static_cast<int>(state.range(0));
  const Step step(nodes);
  const Topology topology(cluster_of(nodes));
  AllToAllSpec spec;
  spec.algorithm = "deepep_low_latency";
  spec.payload = {7168, k_top_k, DType::fp8_block, DType::bf16};
  spec.slots = step.placement.slots();
  AllToAllLowering lowering(topology, {}, {}, spec, "bench");
  const auto replicas = replica_choices(step.placement, lowering.node_of_rank());
  std::vector<LayerTraffic> traffic(k_layers);
  TrafficCounter counter;
  for (int layer = 0; layer < k_layers; ++layer) {
    const auto l = static_cast<std::size_t>(layer);
    counter.begin(replicas[l], false, traffic[l]);
    counter.add(step.picks(layer), step.layout, 1);
    counter.finish();
  }
  CollectiveCost dispatch;
  CollectiveCost combine;
  for (auto _ : state) {
    for (const LayerTraffic& layer : traffic) {
      lowering.lower({&step.layout, &layer}, dispatch, combine);
      benchmark::DoNotOptimize(combine.loads.data());
    }
  }
}
BENCHMARK(lower_step)->Arg(4)->Arg(32)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace moesim

BENCHMARK_MAIN();
