#include <catch2/catch.hpp>
#include <numeric>

#include "placement/heuristics/homes.h"
#include "sim/core/error.h"
#include "sim/engine/results/critical_path.h"
#include "sim/engine/results/metrics.h"
#include "sim/engine/step_draw.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using Catch::Matchers::Contains;
using moesim::testing::Ran;
using moesim::testing::shipped_library;
using moesim::testing::simulation_of;
using moesim::testing::small_scenario;

namespace {

double sum(const std::array<double, k_categories>& seconds) {
  return std::accumulate(seconds.begin(), seconds.end(), 0.0);
}

double total_pairs(const LoweredStep& step) {
  return std::accumulate(step.moe_layers.begin(), step.moe_layers.end(), 0.0,
                         [](double s, const LayerLoad& layer) { return s + layer.pairs; });
}

double seconds_of(const Ran& run, Category category) {
  return breakdown(run.step.lowered, run.step.result)[static_cast<std::size_t>(category)];
}

}  // namespace

// 26 MoE layers x 8 ranks x 16 tokens x top-6, none dropped and none doubled, whatever the
// placement, the replicas and the all-to-all.
TEST_CASE("every token reaches all of its experts", "[engine][property]") {
  const std::string policy = GENERATE("contiguous", "round_robin");
  const int redundant = GENERATE(0, 24);
  const std::string exchange =
      GENERATE("deepep_low_latency", "deepep_normal", "rank_dedup", "expert_copies");
  CAPTURE(policy, redundant, exchange);
  auto scenario = small_scenario();
  scenario["placement"] = {{"policy", policy}, {"redundant_experts", redundant}};
  scenario["policy"]["all_to_all"] = exchange;
  const Ran run(scenario);
  CHECK(total_pairs(run.step.lowered) == 26.0 * 8 * 16 * 6);
}

TEST_CASE("a group of expert replicas computes the tokens of its own ranks", "[engine][property]") {
  auto scenario = small_scenario();
  scenario["parallelism"]["experts"] = {{"ep", 4}, {"edp", 2}};
  const Ran run(scenario);
  CHECK(total_pairs(run.step.lowered) == 26.0 * 8 * 16 * 6);
  // Pairs in a group of 4 never leave it: of uniform picks a quarter stays on its rank.
  for (const LayerLoad& layer : run.step.lowered.moe_layers) {
    CHECK(layer.tokens_sent > 0.6 * layer.pairs);
    CHECK(layer.tokens_sent < 0.9 * layer.pairs);
    CHECK(layer.tokens_sent_far == 0);
  }
}

// Groups only change who computes a token's pairs, not which experts it asked for.
TEST_CASE("expert groups share out the tokens", "[engine][property]") {
  const Simulation simulation = simulation_of(small_scenario());
  // Pairs of every eighth of a layer's experts, over all groups, as far as units can tell.
  const auto pairs_of_units = [&](int ep, int edp) {
    const RankMap ranks({.attention_dp = 8, .expert_ep = ep, .expert_dp = edp}, 8);
    PlacementProblem problem;
    problem.layers = 26;
    problem.experts = 64;
    problem.devices = ep;
    problem.devices_per_node = ep;
    problem.set_even_capacity();
    problem.loads.assign(26, std::vector<double>(64, 1.0));
    const auto placement = place_at_homes(problem, contiguous_homes(problem));
    const std::vector<int> one_node(static_cast<std::size_t>(ep), 0);
    const auto parts =
        draw_batch(*simulation.routing(), simulation.system().batch(0), ranks, {1}, 7, 1);
    const StepTraffic traffic =
        count_parts(parts.front(), ranks, replica_choices(placement, one_node), false, 1);
    std::vector<std::int64_t> pairs;
    for (const auto& groups : traffic.layers) {
      for (std::size_t unit = 0; unit < static_cast<std::size_t>(ep); ++unit) {
        pairs.push_back(0);
        for (const LayerTraffic& group : groups) {
          pairs.back() += group.load[unit].pairs;
        }
      }
    }
    return pairs;
  };
  const auto in_parts_of = [](const std::vector<std::int64_t>& pairs, std::size_t width) {
    std::vector<std::int64_t> sums;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      i % width == 0 ? sums.push_back(pairs[i]) : void(sums.back() += pairs[i]);
    }
    return sums;
  };
  const auto one_group = pairs_of_units(8, 1);
  CHECK(in_parts_of(one_group, 2) == pairs_of_units(4, 2));
  CHECK(in_parts_of(one_group, 8) == pairs_of_units(1, 8));
}

TEST_CASE("breakdown and mean device account for the whole step", "[engine][property]") {
  const int ranks = GENERATE(2, 8, 16);
  const Ran run(small_scenario(ranks));
  const auto path = breakdown(run.step.lowered, run.step.result);
  CHECK(sum(path) == Approx(run.step_s()).epsilon(1e-12));
  const MeanDevice mean = mean_device(run.step.lowered, run.step.result);
  CHECK(sum(mean.busy_s) + mean.waiting_s == Approx(run.step_s()).epsilon(1e-12));
  CHECK(mean.waiting_s >= 0);
}

// The critical path is a chain: each task starts when the one before it ends.
TEST_CASE("the critical path has no gap", "[engine][property]") {
  const Ran run(small_scenario());
  const auto path = critical_path(run.step.lowered.graph, run.step.result);
  double now = 0.0;
  for (const PathTask& task : path) {
    const TaskTimes& times = run.step.result.tasks[static_cast<std::size_t>(task.id)];
    CHECK(times.start_s == now);
    now = times.end_s;
  }
  CHECK(now == run.step_s());
}

TEST_CASE("related runs relate", "[engine][metamorphic]") {
  // An all-to-all whose time is its links' alone: no fixed rate per expert.
  const auto base_scenario = [] {
    auto scenario = small_scenario(16, 128);
    scenario["policy"]["all_to_all"] = "expert_copies";
    return scenario;
  };
  const Ran base(base_scenario());
  SECTION("faster network links shorten dispatch and combine, and nothing else") {
    auto scenario = base_scenario();
    scenario["hardware"]["node"] = {{"nic_link", {{"bandwidth", "800 Gbit/s"}}}};
    const Ran fast(scenario);
    CHECK(seconds_of(fast, Category::dispatch) < seconds_of(base, Category::dispatch));
    CHECK(seconds_of(fast, Category::combine) < seconds_of(base, Category::combine));
    CHECK(seconds_of(fast, Category::attention) ==
          Approx(seconds_of(base, Category::attention)).epsilon(1e-12));
    CHECK(fast.step_s() < base.step_s());
  }
  SECTION("a longer context costs attention") {
    auto scenario = base_scenario();
    scenario["workload"]["context"] = 8192;
    const Ran longer(scenario);
    CHECK(seconds_of(longer, Category::attention) > 1.2 * seconds_of(base, Category::attention));
    CHECK(seconds_of(longer, Category::dispatch) ==
          Approx(seconds_of(base, Category::dispatch)).epsilon(1e-12));
  }
  SECTION("skewed routing is slower than balanced routing") {
    auto scenario = base_scenario();
    scenario["workload"]["routing"] = "balanced";
    const Ran balanced(scenario);
    CHECK(balanced.step_s() < base.step_s());
    const auto metrics = step_metrics(balanced.simulation, {balanced.step_s()}, balanced.step);
    CHECK(metrics.max_over_mean < 1.1);
    CHECK(step_metrics(base.simulation, {base.step_s()}, base.step).max_over_mean > 1.2);
  }
  SECTION("replicas of hot experts lower the busiest rank's load") {
    auto scenario = small_scenario(16, 64);
    const double alone = Ran(scenario).step.lowered.moe_layers[3].max_over_mean;
    scenario["placement"] = {{"redundant_experts", 32}};
    CHECK(Ran(scenario).step.lowered.moe_layers[3].max_over_mean < alone);
  }
}

TEST_CASE("one rank holds all experts and exchanges nothing", "[engine][unit]") {
  const Ran run(small_scenario(1));
  CHECK(seconds_of(run, Category::dispatch) == 0);
  CHECK(seconds_of(run, Category::combine) == 0);
  CHECK(seconds_of(run, Category::experts) > 0);
  CHECK(run.step.lowered.graph.tasks().size() ==
        1 + 26 * 2 + 1);  // dense layer, 26 x (up to the router, experts), head
}

TEST_CASE("tensor parallelism reduces after attention and after each FFN", "[engine][unit]") {
  auto scenario = small_scenario();
  scenario["parallelism"] = {{"attention", {{"tp", 2}, {"dp", 4}}},
                             {"experts", {{"etp", 2}, {"ep", 4}}}};
  const Ran run(scenario);
  CHECK(total_pairs(run.step.lowered) == 26.0 * 4 * 16 * 6);
  const auto tasks = run.step.lowered.graph.tasks();
  const auto reductions = std::ranges::count_if(tasks, [](const Task& task) {
    return static_cast<Category>(task.label) == Category::tensor_parallel;
  });
  // Layers x (attention, FFN), embedding and logits, in each of four groups.
  CHECK(reductions == (27 * 2 + 2) * 4);
}

TEST_CASE("sliced shared experts are summed although routed experts are whole", "[engine][unit]") {
  auto scenario = small_scenario();
  scenario["parallelism"] = {{"attention", {{"tp", 2}, {"dp", 4}}}, {"experts", {{"ep", 8}}}};
  const Ran run(scenario);
  const auto& graph = run.step.lowered.graph;
  const auto kernels_named = [&](std::string_view label) {
    return std::ranges::count_if(graph.tasks(), [&](const Task& task) {
      const auto first = run.step.lowered.first_kernel[static_cast<std::size_t>(task.program)];
      return run.step.lowered.kernels[first].label == label;
    });
  };
  CHECK(kernels_named("all_reduce") == (1 + 27 * 2) * 4);  // embedding, attention, FFN or MoE
  CHECK(kernels_named("all_gather") == 4);                 // logits
}

TEST_CASE("links carry the payload that the copies add up to", "[engine][property]") {
  auto scenario = small_scenario();
  scenario["policy"]["all_to_all"] = "expert_copies";
  const Ran run(scenario);
  double copies = 0.0;
  for (const LayerLoad& layer : run.step.lowered.moe_layers) {
    copies += layer.tokens_sent;
  }
  double up = 0.0;
  for (int d = 0; d < 8; ++d) {
    const int link = run.simulation.topology().device_up(d);
    up += run.step.lowered.link_bytes[static_cast<std::size_t>(link)];
  }
  // BF16 there and back: 2 x 2048 x 2 bytes a copy, and no more than 5 % for headers.
  CHECK(up >= copies * 2 * 2048 * 2);
  CHECK(up <= copies * 2 * 2048 * 2 * 1.05);
}

TEST_CASE("a dense model runs without experts", "[engine][unit]") {
  nlohmann::json scenario{
      {"hardware", {{"cluster", "h100-8x-ib400"}, {"devices", 2}}},
      {"model", "llama-3.1-8b"},
      {"workload", {{"kind", "prefill"}, {"tokens_per_rank", 512}, {"prompt_tokens", 256}}},
      {"parallelism", {{"attention", {{"tp", 2}}}}}};
  const Ran run(scenario);
  CHECK(run.step.lowered.moe_layers.empty());
  CHECK(run.step_s() > 0);
}

TEST_CASE("a mixed step routes its prefill and its decode tokens", "[engine][unit]") {
  auto scenario = small_scenario();
  scenario["workload"] = {{"kind", "mixed"},     {"requests_per_rank", 16},
                          {"context", 512},      {"tokens_per_rank", 64},
                          {"prompt_tokens", 32}, {"routing", "power_law:0.6"}};
  CHECK(total_pairs(Ran(scenario).step.lowered) == 26.0 * 8 * (16 + 64) * 6);
}

TEST_CASE("several steps differ in routing and grow the context", "[engine][unit]") {
  auto scenario = small_scenario();
  scenario["run"] = {{"steps", 3}};
  Simulation simulation = simulation_of(scenario);
  const auto backend = make_fast_backend();
  const double first = simulation.run_step(0, *backend, false).result.makespan_s;
  const double second = simulation.run_step(1, *backend, false).result.makespan_s;
  CHECK(first != second);
  CHECK(simulation.run_step(0, *backend, false).result.makespan_s == first);
}

TEST_CASE("replicas are chosen from another batch than the one that is judged", "[engine][unit]") {
  auto scenario = small_scenario();
  scenario["placement"] = {{"redundant_experts", 8}};
  Simulation simulation = simulation_of(scenario);
  const auto expected = load_statistics(simulation.system().placement_statistics(1), 64);
  double total = 0.0;
  for (const double load : expected[0]) {
    total += load;
  }
  CHECK(total == 4096.0 * 6);  // the statistics batch, not the step's 128 tokens
}

TEST_CASE("experts may be placed by expected loads", "[engine][unit]") {
  auto scenario = small_scenario();
  scenario["placement"] = {
      {"policy", "eplb"}, {"redundant_experts", 8}, {"statistics", "expected"}};
  const Library library(moesim::testing::shipped_catalogs());
  const Simulation once(parse_scenario(scenario, "test.json"), library, 1);
  // Loads that are known place no worse than loads of a sample.
  auto sampled = scenario;
  sampled["placement"]["statistics"] = "tokens";
  CHECK(Ran(scenario).step_s() < 1.02 * Ran(sampled).step_s());
  CHECK(once.placement().slot_expert != simulation_of(sampled).placement().slot_expert);
  // Another batch, the same placement.
  scenario["workload"]["context"] = 3000;
  const Simulation again(parse_scenario(scenario, "test.json"), library, 1);
  CHECK(again.placement().slot_expert == once.placement().slot_expert);
  scenario["placement"]["comm_model"] = "dispatch";
  CHECK_THROWS_WITH(simulation_of(scenario), Catch::Contains("/placement/statistics"));
}

TEST_CASE("memory: weights, cache and buffers of a rank by hand", "[engine][unit]") {
  const Ran run(small_scenario(8, 16));
  const MemoryUse memory = run.memory();
  // 64 experts over 8 ranks, 26 layers, 3 x 2048 x 1408 values of 2 bytes.
  CHECK(memory.experts.si() == 8.0 * 26 * 3 * 2048 * 1408 * 2);
  // 16 requests x 512 tokens x 27 layers x (512 + 64) values of 2 bytes.
  CHECK(memory.kv_cache.si() == 16.0 * 512 * 27 * 576 * 2);
  // Low-latency buffers: 4 x 64 slots x 16 tokens x (2 x 2048 + 16) bytes.
  CHECK(memory.buffers.si() == 4.0 * 64 * 16 * (2 * 2048 + 16));
  CHECK(memory.fits());
  auto scenario = small_scenario(8, 16);
  scenario["workload"]["context"] = 10'000'000;
  const MemoryUse huge = Ran(scenario).memory();
  CHECK_FALSE(huge.fits());
  CHECK(huge.shortfall().si() == Approx((huge.total() - huge.usable).si()));
}

// 150 GB/s instead of the share of 450 GB/s that the law has: exchanges of prefill are bytes only,
// so without their base latency they take that many times as long; nothing else moves.
TEST_CASE("an all-to-all may be slower than its law", "[engine][unit][large]") {
  auto scenario = small_scenario(8, 8192);
  scenario["policy"]["all_to_all"] = "expert_copies";
  const Ran fast(scenario);
  scenario["policy"]["all_to_all_link_rate"] = "150 GB/s";
  const Ran slow(scenario);
  const AllToAllLaw law = find_all_to_all(*shipped_library().comm_profiles(), {"h100_sxm", "gh100"},
                                          "expert_copies", Direction::dispatch, false)
                              .law;
  const double base_s = law.time({8, 1, 64, 8192, 2048}, Seconds(0.0)).si();
  const double ratio = 450 * law.device_link_efficiency / 150;
  const auto moving = [&](const Ran& run) {
    return seconds_of(run, Category::dispatch) - 26 * base_s;
  };
  CHECK(moving(slow) == Approx(ratio * moving(fast)).epsilon(1e-6));
  CHECK(seconds_of(slow, Category::experts) == Approx(seconds_of(fast, Category::experts)));
  CHECK(slow.step.lowered.token_transfers == fast.step.lowered.token_transfers);
}

TEST_CASE("the policy says whose collectives run", "[simulation][unit]") {
  nlohmann::json scenario = small_scenario(8, 16);
  scenario["parallelism"] = {{"attention", {{"tp", 2}, {"dp", 4}}}, {"experts", {{"ep", 8}}}};
  const auto libraries = [&](const char* kernels, const nlohmann::json& collectives) {
    scenario["policy"]["kernels"] = kernels;
    scenario["policy"]["collectives"] = collectives;
    const Ran ran(scenario);
    std::map<std::string, std::string> found;
    for (const CommProvenance& row : ran.simulation.communication()) {
      if (!row.library.empty()) {
        found[row.family] = row.library;
      }
    }
    return found.at("collective/all_reduce") + " " + found.at("collective/all_gather");
  };
  CHECK(libraries("trtllm", "auto") == "custom_allreduce/TRTLLM nccl-2.27.3");
  CHECK(libraries("sglang", "auto") == "custom_allreduce/SGLang_CustomAllReduce_graph nccl-2.27.3");
  CHECK(libraries("vllm", "auto") == "custom_allreduce/vLLM_custom_graph nccl-2.27.3");
  CHECK(libraries("spec_sheet", "auto") == "nccl-2.27.3 nccl-2.27.3");
  CHECK(libraries("vllm-0.24.0", "auto") == "custom_allreduce/vLLM_custom_graph nccl-2.27.3");
  CHECK_THAT(libraries("auto", "auto"), Contains("custom_allreduce/") && Contains(" nccl-2.27.3"));
  CHECK(libraries("trtllm", "nccl-2.29") == "nccl-2.29.2 nccl-2.29.2");
  CHECK(libraries("trtllm", {{"default", "nccl-2.29"}, {"all_reduce", "auto"}}) ==
        "custom_allreduce/TRTLLM nccl-2.29.2");
  CHECK(libraries("trtllm", {{"all_reduce", "nccl"}}) == "nccl-2.27.3 nccl-2.27.3");
  CHECK_THROWS_WITH(libraries("trtllm", "mpi"), Contains("test.json#/policy/collectives") &&
                                                    Contains("custom_allreduce/TRTLLM"));
  for (const char* nobodys : {"allreduce", "reduce_scatter", "all_to_all"}) {
    CHECK_THROWS_WITH(libraries("trtllm", {{nobodys, "nccl"}}),
                      Contains(std::string("test.json#/policy/collectives/") + nobodys) &&
                          Contains("all_gather, all_reduce, default"));
  }
  CHECK_THROWS_WITH(libraries("trtllm", {{"all_gather", "mpi"}}),
                    Contains("test.json#/policy/collectives/all_gather") && Contains("auto") &&
                        Contains("begins with") && Contains("nccl-2.29.2"));
  CHECK_THROWS_WITH(libraries("trtllm", ""), Contains("test.json#/policy/collectives: is empty"));
  CHECK_THROWS_WITH(libraries("trtllm", {{"all_reduce", ""}}),
                    Contains("test.json#/policy/collectives/all_reduce: is empty"));
}

TEST_CASE("long drawing is announced", "[simulation][unit]") {
  auto scenario = small_scenario(8, 16);
  const auto note = [&scenario] { return simulation_of(scenario).system().drawing_note(); };
  CHECK(note().empty());
  scenario["workload"]["requests_per_rank"] = 375'000;  // x 8 x top-6 x 26 layers
  CHECK_THAT(note(), Contains("468 million") && Contains("/run/routing=expected") &&
                         !Contains("routing_sample"));
  scenario["run"]["routing"] = "expected";
  CHECK(note().empty());
  scenario["run"] = {{"steps", 500}};
  scenario["workload"] = {{"kind", "prefill"}, {"tokens_per_rank", 1024}};
  CHECK_THAT(note(), Contains("routing_sample"));
  scenario["workload"]["routing_sample"] = 16;
  CHECK(note().empty());
}

TEST_CASE("times and tasks of the host are sums over the steps", "[simulation][unit]") {
  Simulation simulation = simulation_of(small_scenario(2, 4));
  const auto backend = make_fast_backend();
  double engine_s = 0.0;
  double routing_s = 0.0;
  std::size_t tasks = 0;
  std::uint64_t events = 0;
  for (int i = 0; i < 3; ++i) {
    const StepOutcome step = simulation.run_step(i, *backend, false);
    engine_s += step.engine_s;
    routing_s += step.routing_s;
    tasks += step.lowered.graph.tasks().size();
    events += step.result.events;
  }
  CHECK(simulation.host().engine_s == engine_s);
  CHECK(simulation.host().routing_s == routing_s);
  CHECK(simulation.host().tasks == tasks);
  CHECK(simulation.host().events == events);
}
