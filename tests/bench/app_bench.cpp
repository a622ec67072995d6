// Many small scenarios on one library: what a sweep costs per point, and how the engine grows.
#include <benchmark/benchmark.h>

#include <nlohmann/json.hpp>

#include "sim/app/simulate.h"
#include "sim/core/config.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

CatalogFolders shipped() {
  const std::string root = MOESIM_SOURCE_DIR;
  return {.hardware = {root + "/hardware/catalog"},
          .models = {root + "/models/catalog"},
          .kernel_profiles = {root + "/models/profiles"},
          .comm_profiles = {root + "/models/comm/profiles"},
          .routing_profiles = {root + "/workloads/profiles"}};
}

Json shipped_scenario(const std::string& name) {
  return read_json_file(std::string(MOESIM_SOURCE_DIR) + "/sim/scenarios/" + name + ".json");
}

// 32 ranks; batch, context and placement differ from one to the next.
std::vector<Scenario> variants(int count, const std::string& routing) {
  const Json base = shipped_scenario("deepseek_v3_decode_ep32_h800");
  const std::vector<std::string> placements{"contiguous", "round_robin", "eplb"};
  std::vector<Scenario> scenarios;
  for (int i = 0; i < count; ++i) {
    Json scenario = base;
    scenario["workload"]["requests_per_rank"] = 1 + i % 128;
    scenario["workload"]["context"] = 512 + 37 * i;
    scenario["placement"]["policy"] = placements[static_cast<std::size_t>(i) % placements.size()];
    scenario["run"]["routing"] = routing;
    scenario["placement"]["statistics"] = routing;
    scenarios.push_back(parse_scenario(scenario, "bench.json"));
  }
  return scenarios;
}

void run_sweep(benchmark::State& state, const std::string& routing, int count) {
  const Library library(shipped());
  const auto scenarios = variants(count, routing);
  const int threads = static_cast<int>(state.range(0));
  simulate_all(std::span(scenarios).first(8), library, threads);  // profiles are read
  for (auto _ : state) {
    benchmark::DoNotOptimize(simulate_all(scenarios, library, threads));
  }
  state.counters["scenarios_per_min"] = benchmark::Counter(
      60.0 * static_cast<double>(scenarios.size()) * static_cast<double>(state.iterations()),
      benchmark::Counter::kIsRate);
}

void BM_SweepExpected(benchmark::State& state) { run_sweep(state, "expected", 1000); }
void BM_SweepTokens(benchmark::State& state) { run_sweep(state, "tokens", 50); }
BENCHMARK(BM_SweepExpected)->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(BM_SweepTokens)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();

// Lowering and event loop of one step, expected routing, EP256 groups side by side from 256 on.
void run_engine(benchmark::State& state, const std::string& overlap) {
  const int ranks = static_cast<int>(state.range(0));
  Json scenario = shipped_scenario("deepseek_v3_decode_ep256_h100");
  scenario["hardware"]["nodes"] = ranks / 8;
  const int ep = ranks < 256 ? ranks : 256;
  scenario["parallelism"] = {{"attention", {{"dp", ranks}}},
                             {"experts", {{"ep", ep}, {"edp", ranks / ep}}}};
  scenario["policy"]["overlap"] = overlap;
  scenario["run"]["routing"] = "expected";
  const Library library(shipped());
  Simulation simulation(parse_scenario(scenario, "bench.json"), library, 1);
  const auto backend = make_fast_backend();
  simulation.run_step(0, *backend, false);
  for (auto _ : state) {
    state.SetIterationTime(simulation.run_step(0, *backend, false).engine_s);
  }
}

void BM_Engine(benchmark::State& state) { run_engine(state, "none"); }
void BM_EngineTwoBatches(benchmark::State& state) { run_engine(state, "two_batch"); }
BENCHMARK(BM_Engine)
    ->RangeMultiplier(2)
    ->Range(32, 4096)
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime();
BENCHMARK(BM_EngineTwoBatches)->Arg(32)->Arg(256)->Unit(benchmark::kMillisecond)->UseManualTime();

// Every rank has a batch of its own: kinds of ranks are as many as ranks.
void BM_DifferentRanks(benchmark::State& state) {
  std::vector<RankBatch> ranks;
  for (std::int64_t r = 0; r < state.range(0); ++r) {
    ranks.push_back({{{.count = 64, .context = 1000 + r}, {.count = 64, .context = 3000 + r}}});
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(StepBatch(ranks));
  }
  state.SetComplexityN(state.range(0));
}
BENCHMARK(BM_DifferentRanks)
    ->RangeMultiplier(4)
    ->Range(256, 16'384)
    ->Unit(benchmark::kMillisecond)
    ->Complexity();

// Attention tp 8 on 1,024 devices.
void BM_EngineTensorParallel(benchmark::State& state) {
  Json scenario = shipped_scenario("deepseek_v3_decode_ep256_h100");
  scenario["hardware"]["nodes"] = 128;
  scenario["parallelism"] = {{"attention", {{"tp", 8}, {"dp", 128}}},
                             {"experts", {{"ep", 128}, {"edp", 8}}}};
  scenario["run"]["routing"] = "expected";
  const Library library(shipped());
  Simulation simulation(parse_scenario(scenario, "bench.json"), library, 1);
  const auto backend = make_fast_backend();
  for (auto _ : state) {
    state.SetIterationTime(simulation.run_step(0, *backend, false).engine_s);
  }
}
BENCHMARK(BM_EngineTensorParallel)->Unit(benchmark::kMillisecond)->UseManualTime();

}  // namespace
}  // namespace moesim

BENCHMARK_MAIN();
