// Routing: generating batches, writing, mapping and measuring traces.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "workloads/sources/routing.h"
#include "workloads/trace/trace_tools.h"

namespace {

using namespace moesim;

const std::string profiles = std::string(MOESIM_SOURCE_DIR) + "/workloads/profiles";
const RouterSpec deepseek_v3{
    .layers = 58, .experts = 256, .top_k = 8, .groups = 8, .top_groups = 4};

// A decode batch of range(0) tokens on range(1) threads.
void BM_GeneratedBatch(benchmark::State& state) {
  const auto source = make_routing_source("profile:deepseek-v3", deepseek_v3, {profiles}, "bench");
  const BatchShape shape{.ranks = 32,
                         .tokens_per_rank = state.range(0) / 32,
                         .context = 4096,
                         .threads = static_cast<int>(state.range(1))};
  for (auto _ : state) {
    benchmark::DoNotOptimize(source->batch(shape).ids.data());
  }
  state.counters["tokens/s"] = benchmark::Counter(
      static_cast<double>(state.range(0) * state.iterations()), benchmark::Counter::kIsRate);
}
BENCHMARK(BM_GeneratedBatch)
    ->ArgsProduct({{512, 4096, 32768}, {1, 2}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

// What loading a scenario costs before the first batch.
void BM_LoadProfile(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        make_routing_source("profile:deepseek-v3", deepseek_v3, {profiles}, "bench"));
  }
}
BENCHMARK(BM_LoadProfile)->Unit(benchmark::kMillisecond);

void BM_Statistics(benchmark::State& state) {
  const std::string path =
      (std::filesystem::temp_directory_path() / "moesim_bench_routing.moetrace").string();
  generate_trace("deepseek-v2-lite", {profiles}, state.range(0), 1, 2, path);
  for (auto _ : state) {
    benchmark::DoNotOptimize(trace_statistics(path, 0, 2));
  }
  std::filesystem::remove(path);
}
BENCHMARK(BM_Statistics)->Arg(16384)->Arg(131072)->Unit(benchmark::kMillisecond)->UseRealTime();

void BM_VerifyTrace(benchmark::State& state) {
  const std::string path =
      (std::filesystem::temp_directory_path() / "moesim_bench_verify.moetrace").string();
  generate_trace("deepseek-v2-lite", {profiles}, state.range(0), 1, 2, path);
  for (auto _ : state) {
    benchmark::DoNotOptimize(trace_info(path).items);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(std::filesystem::file_size(path)) *
                          state.iterations());
  std::filesystem::remove(path);
}
BENCHMARK(BM_VerifyTrace)->Arg(131072)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
