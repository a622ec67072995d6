// Building a topology, its paths, and amounts on links, for 8 to 4,096 devices.
#include <benchmark/benchmark.h>

#include "hardware/topology.h"

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
BENCHMARK(BM_BuildTopology)->RangeMultiplier(8)->Range(8, 4096)->Unit(benchmark::kMicrosecond);

void BM_PathsFrom(benchmark::State& state) {
  const Topology topology(nodes_of_eight(state.range(0)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(topology.paths_from(0));
  }
}
BENCHMARK(BM_PathsFrom)->RangeMultiplier(8)->Range(8, 4096)->Unit(benchmark::kMicrosecond);

// A ring over all devices: what one of the longest sparse loads costs.
void BM_SpreadRing(benchmark::State& state) {
  const Topology topology(nodes_of_eight(state.range(0)));
  std::vector<double> on_link(topology.links().size());
  for (auto _ : state) {
    for (int d = 0; d < topology.devices(); ++d) {
      topology.routes().spread(d, (d + 1) % topology.devices(), 1.0, [&](int link, double part) {
        on_link[static_cast<std::size_t>(link)] += part;
      });
    }
    benchmark::DoNotOptimize(on_link.data());
  }
}
BENCHMARK(BM_SpreadRing)->RangeMultiplier(8)->Range(8, 4096)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace moesim

BENCHMARK_MAIN();
