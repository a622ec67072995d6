#include "tests/support/random_graph.h"

#include <utility>
#include <vector>

#include "sim/core/rng.h"

namespace moesim::test {
namespace {

// Resources of a device, then the links that all share.
constexpr std::int32_t compute = 0;
constexpr std::int32_t memory = 1;
constexpr std::int32_t up = 2;
constexpr std::int32_t down = 3;
constexpr std::int32_t per_device = 4;
constexpr std::int32_t shared_links = 2;
constexpr double link_rate = 50e9;
constexpr double shared_link_rate = 150e9;

class Generator {
 public:
  Generator(std::uint64_t seed, const RandomGraphLimits& limits)
      : rng_(RngStreams(seed).stream("random graph")), limits_(limits) {}

  TaskGraph generate() {
    devices_ = 1 + below(limits_.devices);
    coarse_ = chance(0.5);
    disjoint_ = chance(0.15);
    graph_.label("task");
    add_resources();
    const int micro_batches = disjoint_ ? 1 : 1 + below(limits_.micro_batches);
    const int layers = 1 + below(limits_.layers);
    std::vector<std::vector<TaskId>> last(static_cast<std::size_t>(micro_batches));
    for (int layer = 0; layer < layers; ++layer) {
      for (auto& tasks : last) {
        tasks = add_chains(tasks);
        tasks = {add_task(add_coflow(), 0, tasks)};
        if (chance(0.3)) {
          add_stray(tasks);
        }
      }
    }
    return std::move(graph_);
  }

 private:
  int below(int n) { return static_cast<int>(rng_.below(static_cast<std::uint64_t>(n))); }
  bool chance(double p) { return rng_.uniform() < p; }
  double seconds() {
    return coarse_ ? 1e-6 * (1 + below(4)) : 1e-6 * (0.01 + 20.0 * rng_.uniform() * rng_.uniform());
  }
  double latency_s() { return chance(0.4) ? 0.0 : seconds(); }

  void add_resources() {
    for (int d = 0; d < devices_; ++d) {
      graph_.resources.push_back({"compute", ResourceKind::compute, 1.0});
      graph_.resources.push_back({"memory", ResourceKind::memory, 1.0});
      graph_.resources.push_back({"up", ResourceKind::link, link_rate});
      graph_.resources.push_back({"down", ResourceKind::link, link_rate});
    }
    for (int i = 0; i < shared_links; ++i) {
      graph_.resources.push_back({"shared", ResourceKind::link, shared_link_rate});
    }
  }

  TaskId add_task(ProgramId program, std::int32_t offset, const std::vector<TaskId>& after) {
    return graph_.add_task({.program = program, .resource_offset = offset}, after);
  }

  ProgramId add_chain() {
    const ProgramId program = graph_.begin_program();
    const int segments = 1 + below(limits_.segments);
    for (int i = 0; i < segments; ++i) {
      std::vector<Need> needs;
      if (chance(0.8)) {
        needs.push_back({compute, seconds()});
      }
      if (chance(0.8)) {
        needs.push_back({memory, seconds()});
      }
      if (chance(0.1)) {
        needs.push_back({up, seconds() * link_rate});
      }
      graph_.add_segment(latency_s(), needs);
    }
    return program;
  }

  // One chain per device; one program for all of them or one each.
  std::vector<TaskId> add_chains(const std::vector<TaskId>& after) {
    std::vector<TaskId> chains;
    const bool same_program = chance(0.5);
    ProgramId program = add_chain();
    for (int d = 0; d < devices_; ++d) {
      chains.push_back(add_task(program, d * per_device, after));
      if (!same_program && d + 1 < devices_) {
        program = add_chain();
      }
    }
    return chains;
  }

  ProgramId add_coflow() {
    const ProgramId program = graph_.begin_program();
    const int steps = chance(0.7) ? 1 : 2;
    const bool uses_compute = chance(0.3);
    for (int step = 0; step < steps; ++step) {
      std::vector<Need> needs;
      for (std::int32_t d = 0; d < devices_; ++d) {
        for (const std::int32_t direction : {up, down}) {
          if (chance(0.8)) {
            needs.push_back({d * per_device + direction, seconds() * link_rate});
          }
        }
        if (uses_compute) {
          needs.push_back({d * per_device + compute, 0.2 * seconds()});
        }
      }
      for (std::int32_t i = 0; i < shared_links; ++i) {
        if (chance(0.5)) {
          needs.push_back({devices_ * per_device + i, seconds() * shared_link_rate});
        }
      }
      graph_.add_segment(latency_s(), needs);
    }
    return program;
  }

  // A task that nobody waits for, after any tasks; now and then one without any work.
  void add_stray(const std::vector<TaskId>& after) {
    std::vector<TaskId> before = after;
    if (chance(0.5)) {
      before.assign(1, below(static_cast<int>(graph_.tasks().size())));
    }
    const ProgramId program = chance(0.2) ? graph_.begin_program() : add_chain();
    add_task(program, below(devices_) * per_device, before);
  }

  Rng rng_;
  RandomGraphLimits limits_;
  TaskGraph graph_;
  int devices_ = 1;
  bool coarse_ = false;
  bool disjoint_ = false;
};

}  // namespace

TaskGraph random_graph(std::uint64_t seed, const RandomGraphLimits& limits) {
  return Generator(seed, limits).generate();
}

}  // namespace moesim::test
