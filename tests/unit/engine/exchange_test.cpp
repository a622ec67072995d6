// What an all-to-all means for a step: rows that experts are handed, ranks that share their tokens,
// and what comes before the rows.
#include <algorithm>
#include <catch2/catch.hpp>

#include "sim/core/error.h"
#include "sim/engine/lowering/step_exchange.h"
#include "sim/engine/results/critical_path.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using Catch::Matchers::Contains;
using moesim::testing::Ran;
using moesim::testing::small_scenario;

namespace {

nlohmann::json tensor_parallel(int requests, int nodes = 1) {
  auto scenario = small_scenario(8 * nodes, requests);
  scenario["parallelism"] = {{"attention", {{"tp", 8}, {"dp", nodes}}},
                             {"experts", {{"ep", 8 * nodes}}}};
  return scenario;
}

double seconds_of(const Ran& run, Category category) {
  return breakdown(run.step.lowered, run.step.result)[static_cast<std::size_t>(category)];
}

// Rows that the experts of each rank are handed in the first layer.
std::vector<std::int64_t> entering(const Ran& run) {
  const LoweringInput input = lowering_input(run.simulation.deployment(), run.step.micro_batches);
  const StepExchange exchange(input);
  std::vector<std::int64_t> rows;
  for (int unit = 0; unit < input.ranks.units(); ++unit) {
    rows.push_back(exchange.shard({}, 0, unit).entering_tokens);
  }
  return rows;
}

}  // namespace

// 8 ranks of 16 tokens: an all-gather brings all 128 to every rank, whatever their experts; copies
// per rank come once for each token that has an expert there, copies per expert for each pair.
TEST_CASE("experts are handed what their exchange brings", "[engine][unit]") {
  auto scenario = small_scenario(8, 16);
  const auto rows = [&](const char* exchange) {
    scenario["policy"]["all_to_all"] = exchange;
    return entering(Ran(scenario));
  };
  CHECK(rows("allgather_reducescatter") == std::vector<std::int64_t>(8, 128));
  std::int64_t pairs = 0;
  for (const std::int64_t of_rank : rows("expert_copies")) {
    pairs += of_rank;
  }
  CHECK(pairs == 128 * 6);
  for (const std::int64_t of_rank : rows("rank_dedup")) {
    CHECK(of_rank <= 128);
  }
}

// Every rank of the tensor-parallel group has all 16 tokens and sums its experts' share: no token
// moves, and each layer ends in an all-reduce whatever else it holds.
TEST_CASE("tensor-parallel ranks exchange no tokens with experts of their own", "[engine][unit]") {
  const Ran run(tensor_parallel(16));
  CHECK(run.simulation.scenario().effective["policy"]["all_to_all"] == "tp_allreduce");
  CHECK(seconds_of(run, Category::dispatch) == 0.0);
  CHECK(seconds_of(run, Category::combine) == 0.0);
  CHECK(entering(run) == std::vector<std::int64_t>(8, 16));
  double pairs = 0.0;
  for (const LayerLoad& layer : run.step.lowered.moe_layers) {
    pairs += layer.pairs;
    CHECK(layer.tokens_sent == 0.0);
  }
  CHECK(pairs == 26 * 16 * 6);
  for (const CommProvenance& row : run.simulation.communication()) {
    CHECK_THAT(row.family, !Contains("all_to_all"));
  }
  auto exchanged = tensor_parallel(16);
  exchanged["policy"]["all_to_all"] = "deepep_low_latency";
  CHECK(run.step_s() < Ran(exchanged).step_s());
}

// Qwen3 has no shared experts, whose slices would be summed anyway.
TEST_CASE("shares of the experts are added up", "[engine][unit]") {
  auto scenario = tensor_parallel(16);
  scenario["model"] = "qwen3-30b-a3b";
  scenario["parallelism"] = {{"attention", {{"tp", 4}, {"dp", 2}}},
                             {"experts", {{"ep", 4}, {"edp", 2}}}};
  scenario["policy"]["all_to_all"] = "tp_allreduce";
  const Ran run(scenario);
  const auto named = [&](std::string_view label) {
    return std::ranges::count_if(run.step.lowered.graph.tasks(), [&](const Task& task) {
      const auto first = run.step.lowered.first_kernel[static_cast<std::size_t>(task.program)];
      return run.step.lowered.kernels[first].label == label;
    });
  };
  CHECK(named("all_reduce") == 2 * (1 + 48 * 2));  // groups x (embedding, attention and experts)
  CHECK(named("all_gather") == 2);                 // logits
}

TEST_CASE("a batch may be smaller than its tensor-parallel group", "[engine][unit]") {
  const Ran one(tensor_parallel(1));
  CHECK(entering(one) == std::vector<std::int64_t>(8, 1));
  CHECK(one.step_s() > 0.0);
  CHECK(one.step_s() <= Ran(tensor_parallel(16)).step_s());
}

// With data parallelism beside it, or experts over more ranks than share their tokens, tokens move.
TEST_CASE("only ranks that share their tokens can leave them where they are", "[engine][unit]") {
  CHECK(Ran(tensor_parallel(16, 2)).simulation.scenario().policy.all_to_all ==
        "deepep_low_latency");
  auto scenario = tensor_parallel(16, 2);
  scenario["policy"]["all_to_all"] = "tp_allreduce";
  CHECK_THROWS_WITH(Ran(scenario),
                    Contains("test.json#/policy/all_to_all") && Contains("tp must be ep * etp"));
  scenario["parallelism"]["experts"] = {{"ep", 8}, {"edp", 2}};
  CHECK(seconds_of(Ran(scenario), Category::dispatch) == 0.0);
}

// DeepEP's normal kernels between nodes: before the rows, ranks tell each other how many come.
TEST_CASE("the normal kernels' notification is part of a step", "[engine][unit]") {
  auto scenario = small_scenario(16, 16);
  scenario["policy"]["all_to_all"] = "deepep_normal";
  const Ran run(scenario);
  const auto profiles = *moesim::testing::shipped_library().comm_profiles();
  double told_s = 0.0;
  for (const Direction direction : {Direction::dispatch, Direction::combine}) {
    const auto found =
        find_all_to_all(profiles, {"h100_sxm", "gh100"}, "deepep_normal", direction, true);
    const double s = found.law.notify.time(2, 16).si();
    CHECK(s > 20e-6);  // measured: 30 us on two nodes
    CHECK(s < 60e-6);
    told_s += s;
    // Published tables do not tell it: it is taken from where it was measured.
    CHECK(find_all_to_all(profiles, {"h800_sxm", "gh100"}, "deepep_normal", direction, true)
              .law.notify.rows > 0);
  }
  CHECK(seconds_of(run, Category::dispatch) + seconds_of(run, Category::combine) > 26 * told_s);
}
