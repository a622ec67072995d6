// Building a topology, routes, and traffic matrices on links, for 8 to 256 devices.
#include <benchmark/benchmark.h>

#include "hardware/topology.h"
#include "sim/core/rng.h"

namespace moesim {
namespace {

Cluster nodes_of_eight(std::int64_t devices) {
  Cluster cluster;
  cluster.nodes = static_cast<int>(devices / 8);
  cluster.node.devices = 8;
  cluster.node.interconnect = NodeInterconnect::nvswitch;
  cluster.node.device_link = {"nvlink", Bandwidth(450e9), Seconds(1e-6), 0.0};
  cluster.node.nics = 8;
  cluster.node.nic_link = {"ib", Bandwidth(50e9), Seconds(1e-6), 0.0};
  cluster.fabric = {FabricKind::leaf_spine, 4, 1.0, Seconds(0.0)};
  return cluster;
}

void BM_BuildTopology(benchmark::State& state) {
  const Cluster cluster = nodes_of_eight(state.range(0));
  for (auto _ : state) {
    benchmark::DoNotOptimize(Topology(cluster));
  }
}
BENCHMARK(BM_BuildTopology)->RangeMultiplier(2)->Range(8, 256)->Unit(benchmark::kMicrosecond);

void BM_PathsFrom(benchmark::State& state) {
  const Topology topology(nodes_of_eight(state.range(0)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(topology.paths_from(0));
  }
}
BENCHMARK(BM_PathsFrom)->RangeMultiplier(2)->Range(8, 256)->Unit(benchmark::kMicrosecond);

// As a step does it: a matrix per layer, 58 of them, so that they do not all stay in the cache.
void BM_AddTraffic58(benchmark::State& state) {
  constexpr std::size_t layers = 58;
  const Topology topology(nodes_of_eight(state.range(0)));
  const auto n = static_cast<std::size_t>(state.range(0));
  Rng rng(1);
  std::vector<double> amounts(layers * n * n);
  for (double& amount : amounts) {
    amount = rng.uniform();
  }
  std::vector<double> on_link(topology.links().size());
  for (auto _ : state) {
    for (std::size_t layer = 0; layer < layers; ++layer) {
      topology.add_traffic(std::span(amounts).subspan(layer * n * n, n * n), on_link);
    }
    benchmark::DoNotOptimize(on_link.data());
  }
  state.SetBytesProcessed(state.iterations() *
                          static_cast<std::int64_t>(amounts.size() * sizeof(double)));
}
BENCHMARK(BM_AddTraffic58)->RangeMultiplier(2)->Range(8, 256)->Unit(benchmark::kMicrosecond);

// One matrix, in the cache, as when it has just been written.
void BM_AddTraffic(benchmark::State& state) {
  const Topology topology(nodes_of_eight(state.range(0)));
  const auto n = static_cast<std::size_t>(state.range(0));
  const std::vector<double> amount(n * n, 1.0);
  std::vector<double> on_link(topology.links().size());
  for (auto _ : state) {
    topology.add_traffic(amount, on_link);
    benchmark::DoNotOptimize(on_link.data());
  }
}
BENCHMARK(BM_AddTraffic)->RangeMultiplier(2)->Range(8, 256)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace moesim

BENCHMARK_MAIN();
