// What it costs to build a simulation: with everything still on disk, and on a library that has
// been used before. Routing is left out: with one copy of every expert nothing is drawn.
#include <benchmark/benchmark.h>

#include "sim/core/config.h"
#include "sim/engine/simulation.h"

namespace moesim {
namespace {

CatalogFolders shipped() {
  const std::string root = MOESIM_SOURCE_DIR;
  return {.hardware = {root + "/hardware/catalog"},
          .models = {root + "/models/catalog"},
          .kernel_profiles = {root + "/models/profiles"},
          .comm_profiles = {root + "/models/comm/profiles"},
          .routing_profiles = {root + "/workloads/profiles"}};
}

Scenario scenario_of(const std::string& name) {
  const std::string path = MOESIM_SOURCE_DIR "/sim/scenarios/" + name + ".json";
  nlohmann::json document = read_json_file(path);
  apply_override(document, "/placement/policy=contiguous");
  apply_override(document, "/placement/redundant_experts=0");
  return parse_scenario(document, path);
}

void BM_Load(benchmark::State& state, const std::string& name) {
  const Scenario scenario = scenario_of(name);
  for (auto _ : state) {
    const Library library(shipped());
    const Simulation simulation(scenario, library, 1);
    // What the step's kernels need is read when they are first asked for.
    benchmark::DoNotOptimize(simulation.system().placement_costs());
  }
}

void BM_BuildOnLoaded(benchmark::State& state, const std::string& name) {
  const Scenario scenario = scenario_of(name);
  const Library library(shipped());
  for (auto _ : state) {
    const Simulation simulation(scenario, library, 1);
    benchmark::DoNotOptimize(simulation.system().placement_costs());
  }
}

BENCHMARK_CAPTURE(BM_Load, v3_ep32_h800, "deepseek_v3_decode_ep32_h800")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_BuildOnLoaded, v3_ep32_h800, "deepseek_v3_decode_ep32_h800")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_BuildOnLoaded, v3_ep256_h100, "deepseek_v3_decode_ep256_h100")
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace moesim

BENCHMARK_MAIN();
