#include "sim/plan/train_search.h"

#include <catch2/catch.hpp>

#include "tests/unit/plan/plan_support.h"

namespace moesim::test {
namespace {

SearchOptions options_of(const PlanProblem& problem, double usable) {
  // 0.1 PFLOP/s: bounds of about half the times of the formulas.
  return {.limits = {}, .flops = weight_flops(problem, 1e14, 1.0), .usable = Bytes(usable)};
}

std::vector<TrainLayout> all_layouts(const PlanProblem& problem) {
  Reasons out;
  return legal_layouts(problem, {}, legal_rank_maps(problem, {}, out));
}

TEST_CASE("the search finds what trying everything finds", "[plan][property][large]") {
  const MoeModel model = small_model();
  const PlanProblem problem{
      .model = model, .devices = 16, .node_devices = 16, .global_batch = 64, .sequence = 4096};
  const double crowding = GENERATE(0.0, 0.01, 0.02);
  const double usable = GENERATE(1.5e9, 3e9, 80e9);
  CAPTURE(crowding, usable);
  const FormulaJudge judge(problem, crowding);
  double best = 1e9;
  std::int64_t fitting = 0;
  for (const TrainLayout& layout : all_layouts(problem)) {
    if (layout.parallelism.expert_tp != 8 && judge.peak_memory(layout).si() <= usable) {
      ++fitting;
      best = std::min(best, judge.simulate(layout).step.si());
    }
  }
  judge.simulations = 0;
  const SearchResult found = search_layouts(problem, judge, options_of(problem, usable));
  REQUIRE_FALSE(found.ranking.empty());
  CHECK(found.ranking.front().figures.step.si() == best);
  CHECK(found.simulated == judge.simulations);
  CHECK(found.simulated < fitting);
  for (const RankedLayout& layout : found.ranking) {
    CHECK(layout.figures.peak_memory.si() <= usable);
  }
}

TEST_CASE("every legal layout is ranked or out for a reason", "[plan]") {
  const MoeModel model = small_model();
  const PlanProblem problem{
      .model = model, .devices = 16, .node_devices = 16, .global_batch = 64, .sequence = 4096};
  const FormulaJudge judge(problem, 0.01);
  const SearchResult found = search_layouts(problem, judge, options_of(problem, 3e9));
  std::int64_t sum = std::ssize(found.ranking);
  for (const auto& [reason, count] : found.layouts_out) {
    sum += count;
  }
  CHECK(sum == found.layouts);
  CHECK(found.layouts == std::ssize(all_layouts(problem)));
  CHECK(found.layouts_out.at("memory") > 0);
  CHECK(found.layouts_out.at("slower by estimate") > 0);
  CHECK(found.layouts_out.at("not simulated") > 0);
  REQUIRE_FALSE(found.notes.empty());
  CHECK(found.notes.front() == "not simulated: judge: no units of eight");
  CHECK(found.probed == judge.probes);
}

TEST_CASE("bounds at peak spare probes", "[plan]") {
  const MoeModel model = small_model();
  const PlanProblem problem{
      .model = model, .devices = 16, .node_devices = 16, .global_batch = 64, .sequence = 4096};
  const FormulaJudge judge(problem, 0.01);
  SearchOptions options = options_of(problem, 80e9);
  const SearchResult loose = search_layouts(problem, judge, options);
  // The tightest bound that still is one for these formulas.
  options.flops.per_s *= loose.ranking.front().figures.step.si() > 0 ? 0.3 : 1;
  const SearchResult tight = search_layouts(problem, judge, options);
  CHECK(tight.probed < loose.probed);
  CHECK(tight.layouts_out.contains("slower at peak FLOP/s than the best estimate"));
}

TEST_CASE("what memory keeps from winning is said", "[plan]") {
  const MoeModel model = small_model();
  const PlanProblem problem{
      .model = model, .devices = 16, .node_devices = 16, .global_batch = 64, .sequence = 4096};
  const FormulaJudge judge(problem, 0.0);
  const SearchResult roomy = search_layouts(problem, judge, options_of(problem, 1e15));
  CHECK(roomy.binding.empty());
  const SearchResult tight = search_layouts(problem, judge, options_of(problem, 1.5e9));
  REQUIRE(tight.binding.size() == 1);
  CHECK(tight.binding[0].estimate < tight.ranking.front().figures.step);
  CHECK(tight.binding[0].peak_memory.si() > 1.5e9);
  const SearchResult none = search_layouts(problem, judge, options_of(problem, 1e6));
  CHECK(none.ranking.empty());
  REQUIRE(none.smallest);
  CHECK(none.smallest->second.si() > 1e6);
  CHECK(none.binding.size() == 1);
}

TEST_CASE("threads do not change what is found", "[plan]") {
  const MoeModel model = small_model();
  const PlanProblem problem{
      .model = model, .devices = 16, .node_devices = 16, .global_batch = 64, .sequence = 4096};
  const FormulaJudge judge(problem, 0.02);
  SearchOptions options = options_of(problem, 3e9);
  const SearchResult one = search_layouts(problem, judge, options);
  options.threads = 4;
  const SearchResult four = search_layouts(problem, judge, options);
  REQUIRE(one.ranking.size() == four.ranking.size());
  for (std::size_t i = 0; i < one.ranking.size(); ++i) {
    CHECK(describe(one.ranking[i].layout) == describe(four.ranking[i].layout));
  }
  CHECK(one.layouts_out == four.layouts_out);
  CHECK(one.win_probability == four.win_probability);
}

TEST_CASE("the bound is the work at peak, and the wait of the last stage", "[plan]") {
  const MoeModel model = small_model();
  const PlanProblem problem{
      .model = model, .devices = 16, .node_devices = 16, .global_batch = 64, .sequence = 4096};
  const WeightFlops flops{.layers = 16e12, .head = 1.6e12, .per_s = 1e12};
  TrainLayout layout;
  layout.parallelism.attention_dp = 4;
  layout.parallelism.pp = 4;
  // Three times the work over 16 devices: 3 s and 0.3 s for the head. 16 micro-batches, three
  // stages to wait for: 3/16 more.
  CHECK(least_time(problem, flops, layout).si() == Approx(3 * (1 + 3.0 / 16)));
  layout.parallelism.vpp = 2;
  layout.pipeline = "interleaved";
  CHECK(least_time(problem, flops, layout).si() == Approx(3.3));  // 3 (1 + 3/32) is less
  layout.recompute = Recompute::full;
  CHECK(least_time(problem, flops, layout).si() == Approx(4 * (1 + 3.0 / 32)));
  layout.pipeline = "zb_h1";
  CHECK(least_time(problem, flops, layout).si() == Approx(4.3));
}

TEST_CASE("the weights' FLOPs are two per active parameter and token", "[plan]") {
  const MoeModel model = small_model();
  const PlanProblem problem{
      .model = model, .devices = 1, .node_devices = 1, .global_batch = 2, .sequence = 8};
  const WeightFlops all = weight_flops(problem, 1e12, 1.0);
  // Per layer: projections of 8 and 2 x 4 heads and back, router, two experts of three matrices.
  const double attention = 1024.0 * 128 * (8 + 8 + 8);
  const double layer = attention + 1024 * 8 + 2 * 3 * 1024.0 * 2048;
  CHECK(all.layers == Approx(2 * 16 * 8 * layer).epsilon(1e-3));  // norms count as well
  CHECK(all.head == 2 * 16 * 1024.0 * 32'000);
  const WeightFlops half = weight_flops(problem, 1e12, 0.5);
  CHECK(all.layers - half.layers == Approx(2 * 16 * 8 * 3 * 1024.0 * 2048));
}

TEST_CASE("a limit of simulations is kept and said", "[plan]") {
  const MoeModel model = small_model();
  const PlanProblem problem{
      .model = model, .devices = 16, .node_devices = 16, .global_batch = 64, .sequence = 4096};
  const FormulaJudge judge(problem, 0.05);
  SearchOptions options = options_of(problem, 3e9);
  options.limits.simulations = 1;
  const SearchResult found = search_layouts(problem, judge, options);
  CHECK(found.simulated == 1);
  CHECK(found.layouts_out.at("after the last simulation allowed") > 0);
}

}  // namespace
}  // namespace moesim::test
