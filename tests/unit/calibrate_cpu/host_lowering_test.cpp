#include "calibrate/cpu/host_lowering.h"

#include <catch2/catch.hpp>
#include <set>

#include "calibrate/cpu/validate_host.h"
#include "support.h"

using namespace moesim;

TEST_CASE("lowering keeps every pair and every byte", "[calibrate_cpu][property]") {
  const auto kinds = test::all_kinds();
  const MoeConfig config = kinds[GENERATE_REF(range(std::size_t{0}, kinds.size()))];
  CAPTURE(describe(config));
  const MoePlan plan = make_plan(config);
  const LoweredPlan lowered = lower_plan(plan, test::made_up_host());
  const std::int64_t pairs = config.ranks * config.tokens_per_rank * config.top_k * config.layers;
  CHECK(lowered.dispatched_pairs == pairs);
  CHECK(lowered.computed_pairs == pairs);
  CHECK(lowered.combined_pairs == pairs);
  double calls = 0;
  for (const auto& layer : plan.plan) {
    for (const MoeLayerPlan& batch : layer) {
      for (const auto& experts : batch.experts) {
        calls += static_cast<double>(experts.size());
      }
    }
  }
  CHECK(lowered.weight_bytes == calls * static_cast<double>(config.shape.weight_bytes()));
  CHECK(lowered.disk_reads == 0);
  // The simulator orders and waits as the threads do.
  REQUIRE(lowered.graph.tasks().size() == plan.steps.size());
  for (std::size_t s = 0; s < plan.steps.size(); ++s) {
    const Task& task = lowered.graph.tasks()[s];
    CHECK(task.stream == plan.steps[s].thread);
    CHECK(lowered.graph.labels()[static_cast<std::size_t>(task.label)] ==
          step_name(plan.steps[s].kind));
    std::vector<int> others;
    for (const TaskId before : lowered.graph.predecessors(task)) {
      if (lowered.graph.tasks()[static_cast<std::size_t>(before)].stream != task.stream) {
        others.push_back(before);
      }
    }
    CHECK(others == plan.steps[s].after);
  }
  // The busiest thread's work is a lower bound; nothing waits longer than all work together.
  const LayerTimes times = run_lowered(lowered, plan);
  double work = 0.0;
  for (const double phase : times.phase_s) {
    work += phase * config.ranks;
  }
  CHECK(times.step_s <= work * (1 + 1e-9));
  CHECK(times.step_s >= work / config.threads() * (1 - 1e-9));
}

// One token, one expert, one layer: the kernels one after the other, each as the profile says.
TEST_CASE("a single pair takes the sum of its kernels", "[calibrate_cpu][unit]") {
  MoeConfig config = test::small_model();
  config.experts = 1;
  config.top_k = 1;
  config.layers = 1;
  config.tokens_per_rank = 1;
  const HostProfile p = test::made_up_host();
  const MoePlan plan = make_plan(config);
  // 64 x 32: 6,144 weights of 4 bytes; a router of 64; rows of 256 bytes, one token and two copies.
  const double rows = 3 * 256.0;
  const double set = 24576 + 256 + rows;
  const double expected =
      p.gate.alone_s({1, 64, 1, 256, set}) + p.dispatch_local.alone_s({1, 0, 64, 256, set}) +
      p.expert.alone_s({1, 6144, 0, 24576, set}) + p.combine_local.alone_s({2, 0, 64, 768, set});
  const LayerTimes times = predict(plan, p);
  CHECK(times.step_s == Approx(expected).epsilon(1e-9));
  CHECK(times.phase_s[2] == Approx(p.expert.alone_s({1, 6144, 0, 24576, set})).epsilon(1e-9));
}

// Ranks wait for each other twice a layer: experts for rows, combine for results.
TEST_CASE("every wait for other threads costs one handoff", "[calibrate_cpu][unit]") {
  MoeConfig config = test::small_model();
  config.ranks = 2;
  config.layers = 1;
  HostProfile profile = test::made_up_host();
  profile.handoff_s = 0.0;
  const double without = predict(make_plan(config), profile).step_s;
  profile.handoff_s = 1e-4;
  CHECK(predict(make_plan(config), profile).step_s == Approx(without + 2e-4).epsilon(1e-9));
}

// The experts run on the other thread, so every row is written for, and read from, another core.
TEST_CASE("rows of two micro-batches belong to the other thread", "[calibrate_cpu][unit]") {
  MoeConfig config = test::small_model();
  config.layers = 1;
  config.overlap = HostOverlap::two_batch;
  HostProfile profile = test::made_up_host();
  profile.handoff_s = 0.0;
  for (KernelTimes* kernel :
       {&profile.expert, &profile.gate, &profile.dispatch_local, &profile.dispatch_remote,
        &profile.combine_local, &profile.combine_remote}) {
    kernel->contention = 1.0;
    kernel->alone_s_per_byte.value = {0, 0};
    kernel->both_s_per_byte.value = {0, 0};
  }
  const LayerTimes times = predict(make_plan(config), profile);
  const double pairs = 16 * 2;  // in two steps
  CHECK(times.phase_s[1] ==
        Approx(2 * profile.dispatch_remote.fixed_s + pairs * profile.dispatch_remote.per_row_s)
            .epsilon(1e-9));
  CHECK(times.phase_s[3] ==
        Approx(2 * profile.combine_remote.fixed_s + (pairs + 16) * profile.combine_remote.per_row_s)
            .epsilon(1e-9));
}

// One expert a layer and a cache of one: every use is a miss.
TEST_CASE("weights are cold after a read from the device only", "[calibrate_cpu][unit]") {
  MoeConfig config = test::small_model();
  config.shape = {512, 256};
  config.experts = 1;
  config.top_k = 1;
  config.tokens_per_rank = 1;
  config.cache_experts = 1;
  config.home = GENERATE(ExpertHome::disk, ExpertHome::page_cache);
  const bool device = config.home == ExpertHome::disk;
  const HostProfile p = test::made_up_host();
  const double bytes = 3 * 512 * 256 * 4;
  const KernelTimes& disk = device ? *p.disk : p.page_cache;
  const double far = device ? 1e15 : bytes;
  const double expected = 2 * (disk.alone_s({1, bytes, 0, bytes, 3 * bytes}) +
                               p.expert.alone_s({1, bytes / 4, 0, bytes, far}));
  CHECK(predict(make_plan(config), p).phase_s[2] == Approx(expected).epsilon(1e-9));
}

// All tokens go to all experts, so that more tokens are more rows everywhere.
TEST_CASE("the predicted time never falls with more tokens", "[calibrate_cpu][property]") {
  MoeConfig config = test::small_model();
  config.experts = 4;
  config.top_k = 4;
  config.ranks = GENERATE(1, 2);
  config.overlap = GENERATE(HostOverlap::none, HostOverlap::arrival);
  double before = 0.0;
  for (config.tokens_per_rank = 1; config.tokens_per_rank < 300; config.tokens_per_rank *= 2) {
    const double now = predict(make_plan(config), test::made_up_host()).step_s;
    CAPTURE(describe(config));
    CHECK(now > before);
    before = now;
  }
}

TEST_CASE("two ranks share the memory, one does not", "[calibrate_cpu][property]") {
  MoeConfig config = test::small_model();
  config.shape = {512, 512};  // far enough away to count
  HostProfile alone = test::made_up_host();
  HostProfile crowded = alone;
  alone.expert.both_s_per_byte = alone.expert.alone_s_per_byte;
  for (double& value : crowded.expert.both_s_per_byte.value) {
    value *= 3;
  }
  CHECK(predict(make_plan(config), alone).step_s == predict(make_plan(config), crowded).step_s);
  config.ranks = 2;
  CHECK(predict(make_plan(config), alone).step_s <
        0.95 * predict(make_plan(config), crowded).step_s);
}

TEST_CASE("a larger cache never costs time", "[calibrate_cpu][property]") {
  MoeConfig config = test::small_model();
  config.home = GENERATE(ExpertHome::disk, ExpertHome::page_cache);
  HostProfile profile = test::made_up_host();
  // Where slots are does not matter here.
  profile.expert.alone_s_per_byte.value = {0, 0};
  double before = 1e9;
  std::int64_t reads = 1000;
  for (config.cache_experts = 1; config.cache_experts <= 16; ++config.cache_experts) {
    const MoePlan plan = make_plan(config);
    const LoweredPlan lowered = lower_plan(plan, profile);
    CHECK(lowered.disk_reads <= reads);  // LRU is a stack algorithm
    CHECK(lowered.disk_bytes ==
          static_cast<double>(lowered.disk_reads * config.shape.weight_bytes()));
    reads = lowered.disk_reads;
    const double now = run_lowered(lowered, plan).step_s;
    CHECK(now <= before * (1 + 1e-9) + 1e-5);  // a larger cache's slots may lie further away
    before = now;
  }
  CHECK(reads == 0);
}

TEST_CASE("the drawn configurations are the same every time, and cover every regime",
          "[calibrate_cpu][unit]") {
  HostValidationOptions options;
  options.quick = GENERATE(true, false);
  const auto configs = host_configurations(options);
  const auto again = host_configurations(options);
  REQUIRE(configs.size() == (options.quick ? 24 : 72));
  std::set<std::string> regimes;
  for (std::size_t i = 0; i < configs.size(); ++i) {
    CHECK(describe(configs[i]) == describe(again[i]));
    regimes.insert(configs[i].regime);
  }
  CHECK(regimes.size() == 6);
}
