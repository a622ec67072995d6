#include "calibrate/cuda/families.h"
#include "calibrate/cuda/host/small_grids.h"
#include "calibrate/cuda/kernels/small.h"

namespace moesim::bench {
namespace {

std::vector<double> measure(const Bench& bench, const LaunchCase& c) {
  const int kernels = static_cast<int>(c.kernels);
  GraphExec graph;
  if (c.graph) {
    graph = captured(bench.stream(), kernels, 1, [&](int) { empty_kernel(bench.stream()); });
  }
  std::vector<double> samples = bench.time(1, Replay::stream, [&](int) {
    if (c.graph) {
      MOESIM_CHECK(cudaGraphLaunch(graph.get(), bench.stream()));
      return;
    }
    for (int i = 0; i < kernels; ++i) {
      empty_kernel(bench.stream());
    }
  });
  for (double& sample : samples) {
    sample /= kernels;
  }
  return samples;
}

}  // namespace

void run_launch(Bench& bench) {
  bench.each(launch_grid(bench.quick()), [&](const LaunchCase& c) { return measure(bench, c); });
}

}  // namespace moesim::bench
