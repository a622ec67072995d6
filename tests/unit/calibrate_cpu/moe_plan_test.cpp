#include "calibrate/cpu/moe_plan.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <optional>
#include <set>
#include <string>

#include "sim/core/error.h"
#include "support.h"
#include "tests/support/temporary_folder.h"
#include "workloads/trace/moetrace.h"

using namespace moesim;
using Catch::Matchers::Contains;

TEST_CASE("a plan sends every pair to one row of its expert", "[calibrate_cpu][property]") {
  const auto kinds = test::all_kinds();
  const MoeConfig config = kinds[GENERATE_REF(range(std::size_t{0}, kinds.size()))];
  CAPTURE(describe(config));
  const MoePlan plan = make_plan(config);
  for (int l = 0; l < config.layers; ++l) {
    std::int64_t pairs = 0;
    for (const MoeLayerPlan& batch : plan.plan[static_cast<std::size_t>(l)]) {
      for (std::size_t rank = 0; rank < batch.rows.size(); ++rank) {
        std::int32_t next = 0;
        for (const ExpertRows& rows : batch.experts[rank]) {
          CHECK(rows.first_row == next);  // no gap, no overlap
          CHECK(rows.rows > 0);
          next += rows.rows;
        }
        CHECK(next == batch.rows[rank]);
      }
      std::set<std::pair<int, int>> taken;
      for (std::size_t source = 0; source < batch.pairs.size(); ++source) {
        for (const PairRow& pair : batch.pairs[source]) {
          ++pairs;
          CHECK(taken.emplace(pair.destination, pair.row).second);
          const auto& experts = batch.experts[static_cast<std::size_t>(pair.destination)];
          const auto rows = std::ranges::find_if(experts, [&](const ExpertRows& e) {
            return pair.row >= e.first_row && pair.row < e.first_row + e.rows;
          });
          REQUIRE(rows != experts.end());
          CHECK(rows->expert == plan.picks(l, static_cast<int>(source), pair.token)[pair.slot]);
          CHECK((!rows->own_rank_only || pair.destination == static_cast<int>(source)));
        }
      }
    }
    CHECK(pairs == config.ranks * config.tokens_per_rank * config.top_k);
  }
}

TEST_CASE("steps follow what they wait for, on other threads only", "[calibrate_cpu][property]") {
  const auto kinds = test::all_kinds();
  const MoeConfig config = kinds[GENERATE_REF(range(std::size_t{0}, kinds.size()))];
  CAPTURE(describe(config));
  const MoePlan plan = make_plan(config);
  for (std::size_t s = 0; s < plan.steps.size(); ++s) {
    CHECK(plan.steps[s].thread < config.threads());
    for (const int before : plan.steps[s].after) {
      CHECK(before < static_cast<int>(s));
      CHECK(plan.steps[static_cast<std::size_t>(before)].thread != plan.steps[s].thread);
    }
  }
}

TEST_CASE("schedules are what threads do one after the other", "[calibrate_cpu][unit]") {
  MoeConfig config = test::small_model();
  const auto steps_of = [](const MoePlan& plan, int thread) {
    std::string text;
    for (const MoeStep& step : plan.steps) {
      if (step.thread == thread) {
        text += step_name(step.kind).front();
        text += std::to_string(step.layer) + std::to_string(step.batch);
        text += step.part == RowPart::own ? "o " : step.part == RowPart::others ? "x " : " ";
      }
    }
    return text;
  };
  config.ranks = 2;
  const MoePlan phases = make_plan(config);
  for (const int thread : {0, 1}) {
    CHECK(steps_of(phases, thread) == "g00 d00 e00 c00 g10 d10 e10 c10 ");
  }
  config.overlap = HostOverlap::arrival;
  const MoePlan arrival = make_plan(config);
  for (const int thread : {0, 1}) {
    CHECK(steps_of(arrival, thread) == "g00 d00x d00o e00o e00x c00 g10 d10x d10o e10o e10x c10 ");
  }
  for (const MoeStep& step : arrival.steps) {
    // A rank waits for what others send and compute for it, and for nothing else.
    const bool waits = step.kind == MoeStepKind::combine ||
                       (step.kind == MoeStepKind::experts && step.part == RowPart::others);
    CHECK(step.after.size() == (waits ? 1 : 0));
  }
  config.ranks = 1;
  CHECK(steps_of(make_plan(config), 0) == "g00 d00 e00 c00 g10 d10 e10 c10 ");  // no others
  config.overlap = HostOverlap::two_batch;
  const MoePlan two = make_plan(config);
  CHECK(steps_of(two, 0) == "g00 d00 g01 d01 c00 g10 d10 c01 g11 d11 c10 c11 ");
  CHECK(steps_of(two, 1) == "e00 e01 e10 e11 ");
}

// Whoever reads a row must come after whoever writes it, by whatever chain of steps.
TEST_CASE("experts come after the dispatch of all their rows, combine after the experts",
          "[calibrate_cpu][property]") {
  const auto kinds = test::all_kinds();
  const MoeConfig config = kinds[GENERATE_REF(range(std::size_t{0}, kinds.size()))];
  CAPTURE(describe(config));
  const MoePlan plan = make_plan(config);
  const std::size_t n = plan.steps.size();
  std::vector<std::set<std::size_t>> before(n);  // transitive
  std::vector<std::optional<std::size_t>> last(2);
  for (std::size_t s = 0; s < n; ++s) {
    const MoeStep& step = plan.steps[s];
    std::vector<std::size_t> direct(step.after.begin(), step.after.end());
    auto& previous = last[static_cast<std::size_t>(step.thread)];
    if (previous) {
      direct.push_back(*previous);
    }
    previous = s;
    for (const std::size_t d : direct) {
      before[s].insert(d);
      before[s].insert(before[d].begin(), before[d].end());
    }
  }
  const auto done_before = [&](std::size_t s, MoeStepKind kind, int rank, RowPart part) {
    return std::ranges::any_of(before[s], [&](std::size_t b) {
      const MoeStep& one = plan.steps[b];
      return one.kind == kind && one.layer == plan.steps[s].layer &&
             one.batch == plan.steps[s].batch && one.rank == rank &&
             (one.part == RowPart::all || one.part == part);
    });
  };
  for (std::size_t s = 0; s < n; ++s) {
    const MoeStep& step = plan.steps[s];
    const MoeLayerPlan& layer =
        plan.plan[static_cast<std::size_t>(step.layer)][static_cast<std::size_t>(step.batch)];
    for (int source = 0; source < config.ranks; ++source) {
      for (const PairRow& pair : layer.pairs[static_cast<std::size_t>(source)]) {
        const bool only_own_experts =
            step.kind == MoeStepKind::experts && step.part == RowPart::own;
        if (step.kind == MoeStepKind::experts && pair.destination == step.rank &&
            (!only_own_experts || source == step.rank)) {
          CHECK(done_before(s, MoeStepKind::dispatch, source,
                            source == step.rank ? RowPart::own : RowPart::others));
        }
        if (step.kind == MoeStepKind::combine && source == step.rank) {
          CHECK(done_before(s, MoeStepKind::experts, pair.destination, RowPart::others));
          if (pair.destination == step.rank) {
            CHECK(done_before(s, MoeStepKind::experts, pair.destination, RowPart::own));
          }
        }
      }
    }
  }
}

TEST_CASE("a plan replays the first layers of a trace", "[calibrate_cpu][unit]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("three.moetrace");
  TraceShape shape;
  shape.layers = 3;
  shape.experts = 4;
  shape.top_k = 1;
  RoutedTokens tokens;
  tokens.layers = 3;
  tokens.experts = 4;
  tokens.top_k = 1;
  // Layer l sends every token to expert l.
  tokens.ids = {0, 0, 1, 1, 2, 2};
  tokens.token_id = {5, 6};
  tokens.request = {0, 1};
  tokens.position = {1, 1};
  tokens.phase = {TokenPhase::decode, TokenPhase::decode};
  {
    TraceWriter writer(path, shape, {});
    writer.append(tokens);
    writer.finish();
  }
  MoeConfig config = test::small_model();
  config.experts = 4;
  config.top_k = 1;
  config.routing = path;
  config.tokens_per_rank = 2;
  const MoePlan plan = make_plan(config);
  CHECK(plan.touched_experts(0) == 1);
  CHECK(*plan.picks(0, 0, 1) == 0);
  CHECK(*plan.picks(1, 0, 0) == 1);
  config.layers = 4;
  CHECK_THROWS_WITH(make_plan(config), Contains("has 3 layers; the model has 4"));
}

TEST_CASE("configurations without sense are refused", "[calibrate_cpu][unit]") {
  MoeConfig config = test::small_model();
  config.placement = "nearest";
  CHECK_THROWS_WITH(make_plan(config), Contains("nearest") && Contains("contiguous"));
  config = test::small_model();
  config.ranks = 3;
  CHECK_THROWS_WITH(make_plan(config), Contains("1 or 2 ranks"));
  config = test::small_model();
  config.cache_experts = 2;
  CHECK_THROWS_WITH(make_plan(config), Contains("weights on disk"));
  config = test::small_model();
  config.overlap = HostOverlap::two_batch;
  config.tokens_per_rank = 1;
  CHECK_THROWS_WITH(make_plan(config), Contains("two tokens"));
}
