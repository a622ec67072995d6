// What a runner did before does not matter.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "sim/core/rng.h"
#include "tests/unit/engine/random_batch.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using moesim::testing::random_batch;
using moesim::testing::simulation_of;
using moesim::testing::small_scenario;

namespace {

using Json = nlohmann::json;

constexpr int k_ranks = 4;

// Schedules, drawn and expected tokens, copies per (token, expert) and per (token, rank), and
// attention in slices.
std::vector<Simulation> systems() {
  const Json split{{"schedule", "two_batch"}, {"attention_split", true}};
  std::vector<Simulation> all;
  for (const Json& overlap : {Json("none"), Json("two_batch"), split}) {
    for (const char* routing : {"tokens", "expected"}) {
      for (const char* exchange : {"deepep_low_latency", "rank_dedup"}) {
        auto scenario = small_scenario(k_ranks, 4);
        scenario["policy"]["overlap"] = overlap;
        scenario["policy"]["all_to_all"] = exchange;
        scenario["run"] = {{"routing", routing}};
        all.push_back(simulation_of(scenario));
      }
    }
  }
  auto sliced = small_scenario(k_ranks, 4);
  sliced["parallelism"] = {{"attention", {{"tp", 2}, {"dp", 2}}}, {"experts", {{"ep", 4}}}};
  all.push_back(simulation_of(sliced));
  return all;
}

// The same experts on other ranks.
Deployment mirrored(const Simulation& simulation) {
  ExpertPlacement placement = simulation.placement();
  for (auto& layer : placement.slot_expert) {
    std::ranges::reverse(layer);
  }
  return {simulation.deployment().shared_system(), std::move(placement)};
}

bool same_programs(const TaskGraph& a, const TaskGraph& b) {
  bool same = a.program_count() == b.program_count();
  for (std::size_t i = 0; same && i < a.program_count(); ++i) {
    const auto id = static_cast<ProgramId>(i);
    same =
        std::ranges::equal(a.segments(id), b.segments(id), [&](const Segment& x, const Segment& y) {
          return x.latency_s == y.latency_s &&
                 std::ranges::equal(a.needs(x), b.needs(y), [](const Need& m, const Need& n) {
                   return m.resource == n.resource && m.amount == n.amount;
                 });
        });
    same = same && std::ranges::equal(a.touched(id), b.touched(id)) &&
           a.unit_rate_duration_s(id) == b.unit_rate_duration_s(id);
  }
  return same;
}

bool same_tasks(const TaskGraph& a, const TaskGraph& b) {
  return std::ranges::equal(a.tasks(), b.tasks(), [&](const Task& x, const Task& y) {
    return x.program == y.program && x.resource_offset == y.resource_offset &&
           x.stream == y.stream && x.label == y.label && x.layer == y.layer &&
           std::ranges::equal(a.predecessors(x), b.predecessors(y));
  });
}

bool same_kernels(const LoweredStep& a, const LoweredStep& b) {
  const auto kernel = [](const Kernel& x, const Kernel& y) {
    return x.label == y.label && x.category == y.category && x.extrapolated == y.extrapolated &&
           x.family == y.family && x.alone_s == y.alone_s && x.sigma == y.sigma;
  };
  const auto family = [](const FamilyUse& x, const FamilyUse& y) {
    return x.name == y.name && x.kernels == y.kernels && x.extrapolated == y.extrapolated &&
           x.device_s == y.device_s;
  };
  return std::ranges::equal(a.kernels, b.kernels, kernel) &&
         std::ranges::equal(a.families, b.families, family) && a.first_kernel == b.first_kernel;
}

bool same_sums(const LoweredStep& a, const LoweredStep& b) {
  const auto load = [](const LayerLoad& x, const LayerLoad& y) {
    return x.layer == y.layer && x.max_over_mean == y.max_over_mean && x.pairs == y.pairs &&
           x.tokens_sent == y.tokens_sent && x.tokens_sent_far == y.tokens_sent_far &&
           x.busiest_rank == y.busiest_rank;
  };
  const auto resource = [](const Resource& x, const Resource& y) {
    return x.name == y.name && x.kind == y.kind && x.rate == y.rate;
  };
  return a.flops == b.flops && a.memory_bytes == b.memory_bytes &&
         a.token_transfers == b.token_transfers && a.link_bytes == b.link_bytes &&
         a.link_busy_bytes == b.link_busy_bytes && a.stream_devices == b.stream_devices &&
         a.layer_is_moe == b.layer_is_moe && a.devices == b.devices && a.links == b.links &&
         a.first_link == b.first_link && a.graph.labels() == b.graph.labels() &&
         std::ranges::equal(a.graph.resources, b.graph.resources, resource) &&
         std::ranges::equal(a.moe_layers, b.moe_layers, load);
}

bool same_times(const RunResult& a, const RunResult& b) {
  return a.makespan_s == b.makespan_s && a.events == b.events &&
         a.segment_ends_s == b.segment_ends_s &&
         std::ranges::equal(a.tasks, b.tasks, [](const TaskTimes& x, const TaskTimes& y) {
           return x.start_s == y.start_s && x.end_s == y.end_s;
         });
}

void check_same(const StepOutcome& a, const StepOutcome& b) {
  REQUIRE(same_programs(a.lowered.graph, b.lowered.graph));
  REQUIRE(same_tasks(a.lowered.graph, b.lowered.graph));
  REQUIRE(same_kernels(a.lowered, b.lowered));
  REQUIRE(same_sums(a.lowered, b.lowered));
  REQUIRE(same_times(a.result, b.result));
}

struct Seen {
  int stayed = 0;   // steps of the deployment of the step before
  int swapped = 0;  // of another one
};

// So many sequences of four steps, each step by a runner that ran those before it and by a new one.
Seen compare_with_new_runners(std::uint64_t sequences) {
  const std::vector<Simulation> all = systems();
  const auto backend = make_fast_backend();
  Seen seen;
  for (std::uint64_t sequence = 0; sequence < sequences; ++sequence) {
    CAPTURE(sequence);
    std::uint64_t draw = 0;
    const auto below = [&](std::uint64_t n) { return mix64(sequence * 100 + draw++) % n; };
    StepRunner reused(1);
    const Simulation* simulation = &all[below(all.size())];
    auto deployment = std::make_unique<Deployment>(simulation->deployment());
    for (std::uint64_t step = 0; step < 4; ++step) {
      if (below(3) == 0) {  // the other one is gone, and may leave its address behind
        simulation = below(2) == 0 ? simulation : &all[below(all.size())];
        deployment.reset();
        deployment = std::make_unique<Deployment>(below(2) == 0 ? simulation->deployment()
                                                                : mirrored(*simulation));
        ++seen.swapped;
      } else {
        seen.stayed += step > 0 ? 1 : 0;
      }
      // Few tokens are routed otherwise than many, where they are expected.
      const StepBatch batch = random_batch(
          below(1000), simulation->system().ranks().attention_ranks(), below(2) == 0 ? 4 : 64);
      const std::uint64_t seed = below(1000);
      const StepOutcome again = reused.run(*deployment, batch, seed, *backend, true);
      check_same(again, StepRunner(1).run(*deployment, batch, seed, *backend, true));
    }
  }
  return seen;
}

}  // namespace

TEST_CASE("a step is a function of its batch, whatever the runner did before",
          "[engine][property][large]") {
  const Seen seen = compare_with_new_runners(200);
  CHECK(seen.stayed > 300);
  CHECK(seen.swapped > 150);
}

TEST_CASE("a few steps are functions of their batches", "[engine][property]") {
  const Seen seen = compare_with_new_runners(6);
  CHECK(seen.stayed > 5);
  CHECK(seen.swapped > 3);
}

TEST_CASE("a runner outlives the deployment that it ran last", "[engine][unit]") {
  StepRunner runner(1);
  const auto backend = make_fast_backend();
  const StepBatch batch = random_batch(1, k_ranks);
  double before_s = 0.0;
  {
    const Simulation gone = simulation_of(small_scenario(k_ranks, 4));
    before_s = runner.run(gone.deployment(), batch, 1, *backend, false).result.makespan_s;
  }
  const Simulation next = simulation_of(small_scenario(k_ranks, 4));
  CHECK(runner.run(next.deployment(), batch, 1, *backend, false).result.makespan_s == before_s);
}
