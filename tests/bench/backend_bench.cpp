// Backends on the graph of a decode step: 61 layers, on every device a chain per layer phase, and
// a coflow between phases that all devices wait for.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <vector>

#include "sim/core/rng.h"
#include "sim/flow/backend.h"
#include "sim/flow/live_run.h"
#include "sim/simgrid/simgrid_backend.h"

namespace moesim {
namespace {

constexpr int layers = 61;
constexpr std::int32_t per_device = 6;  // compute, memory, NVLink up and down, NIC up and down
constexpr double link_rate = 50e9;

struct StepShape {
  int devices = 256;
  int micro_batches = 1;
  bool communication_uses_compute = false;
};

class StepGraph {
 public:
  explicit StepGraph(const StepShape& shape) : shape_(shape), rng_(RngStreams(1).stream("bench")) {
    for (int d = 0; d < shape.devices; ++d) {
      graph_.resources.push_back({"compute", ResourceKind::compute, 1.0});
      graph_.resources.push_back({"memory", ResourceKind::memory, 1.0});
      for (int link = 0; link < 4; ++link) {
        graph_.resources.push_back({"link", ResourceKind::link, link_rate});
      }
    }
  }

  TaskGraph build() {
    std::vector<std::vector<TaskId>> last(static_cast<std::size_t>(shape_.micro_batches));
    for (int layer = 0; layer < layers; ++layer) {
      for (auto& tasks : last) {
        for (const int segments : {10, 6}) {
          tasks = chains(segments, tasks);
          tasks = {graph_.add_task({.program = coflow(), .layer = layer}, tasks)};
        }
      }
    }
    return std::move(graph_);
  }

  // Two half batches on one compute stream per device and one stream for all communication, each
  // in order: while one computes, the other communicates, and nothing is shared.
  TaskGraph build_in_order() {
    std::array<std::vector<TaskId>, 2> last;
    for (int layer = 0; layer < layers; ++layer) {
      for (const int segments : {10, 6}) {
        for (auto& tasks : last) {
          tasks = chains(segments, tasks, true);
          tasks = {graph_.add_task_in_order(
              {.program = coflow(), .stream = shape_.devices, .layer = layer}, tasks)};
        }
      }
    }
    return std::move(graph_);
  }

 private:
  std::vector<TaskId> chains(int segments, const std::vector<TaskId>& after,
                             bool in_order = false) {
    std::vector<TaskId> tasks;
    for (std::int32_t d = 0; d < shape_.devices; ++d) {
      const ProgramId program = graph_.begin_program();
      for (int i = 0; i < segments; ++i) {
        const std::array needs = {Need{0, 1e-6 + 20e-6 * rng_.uniform()},
                                  Need{1, 1e-6 + 20e-6 * rng_.uniform()}};
        graph_.add_segment(2e-6, needs);
      }
      const Task task{.program = program, .resource_offset = d * per_device, .stream = d};
      tasks.push_back(in_order ? graph_.add_task_in_order(task, after)
                               : graph_.add_task(task, after));
    }
    return tasks;
  }

  ProgramId coflow() {
    const ProgramId program = graph_.begin_program();
    std::vector<Need> needs;
    for (std::int32_t d = 0; d < shape_.devices; ++d) {
      for (std::int32_t link = 2; link < per_device; ++link) {
        needs.push_back({d * per_device + link, link_rate * 50e-6 * (0.5 + rng_.uniform())});
      }
      if (shape_.communication_uses_compute) {
        needs.push_back({d * per_device, 5e-6});
      }
    }
    graph_.add_segment(10e-6, needs);
    return program;
  }

  StepShape shape_;
  Rng rng_;
  TaskGraph graph_;
};

void run(benchmark::State& state, const TaskGraph& graph,
         std::unique_ptr<Backend> backend = make_fast_backend()) {
  std::uint64_t events = 0;
  for (auto _ : state) {
    const RunResult result = backend->run(graph, false);
    events += result.events;
    benchmark::DoNotOptimize(result.makespan_s);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(graph.tasks().size()));
  state.counters["tasks"] = static_cast<double>(graph.tasks().size());
  state.counters["events/s"] =
      benchmark::Counter(static_cast<double>(events), benchmark::Counter::kIsRate);
}

void BM_DecodeStep(benchmark::State& state) {
  run(state, StepGraph({.devices = static_cast<int>(state.range(0))}).build());
}
BENCHMARK(BM_DecodeStep)->Arg(32)->Arg(64)->Arg(128)->Arg(256)->Unit(benchmark::kMillisecond);

void BM_DecodeStepTwoMicroBatches(benchmark::State& state) {
  run(state, StepGraph({.devices = static_cast<int>(state.range(0)), .micro_batches = 2}).build());
}
BENCHMARK(BM_DecodeStepTwoMicroBatches)->Arg(32)->Arg(256)->Unit(benchmark::kMillisecond);

void BM_TwoBatchesInOrder(benchmark::State& state) {
  run(state, StepGraph({.devices = static_cast<int>(state.range(0))}).build_in_order());
}
BENCHMARK(BM_TwoBatchesInOrder)->Arg(32)->Arg(256)->Unit(benchmark::kMillisecond);

// The coflow's compute ties all devices into one component.
void BM_DecodeStepCoupled(benchmark::State& state) {
  run(state, StepGraph({.devices = static_cast<int>(state.range(0)),
                        .micro_batches = 2,
                        .communication_uses_compute = true})
                 .build());
}
BENCHMARK(BM_DecodeStepCoupled)->Arg(8)->Arg(32)->Arg(128)->Unit(benchmark::kMillisecond);

// Continuous batching: a program and a task per step, submitted when the step before has ended.
void BM_LiveSteps(benchmark::State& state) {
  for (auto _ : state) {
    LiveRun live(state.range(1) != 0 ? LiveRun::Recording::on : LiveRun::Recording::off);
    live.add_resource({"device", ResourceKind::compute, 1.0});
    for (std::int64_t i = 0; i < state.range(0); ++i) {
      const std::array needs = {Need{0, 10e-3}};
      const ProgramId program = live.begin_program();
      live.add_segment(1e-6, needs);
      live.submit({.program = program});
      live.advance();
    }
    benchmark::DoNotOptimize(live.now_s());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_LiveSteps)->Args({1'000'000, 0})->Args({1'000'000, 1})->Unit(benchmark::kMillisecond);

void BM_SimgridDecodeStep(benchmark::State& state) {
  run(state, StepGraph({.devices = static_cast<int>(state.range(0))}).build(),
      make_simgrid_backend());
}
BENCHMARK(BM_SimgridDecodeStep)
    ->Arg(32)
    ->Arg(256)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void BM_BuildDecodeStep(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        StepGraph({.devices = static_cast<int>(state.range(0))}).build().tasks().size());
  }
}
BENCHMARK(BM_BuildDecodeStep)->Arg(256)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace moesim

BENCHMARK_MAIN();
