#include "sim/training/pipeline.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "sim/core/error.h"
#include "tests/unit/training/pipeline_support.h"

namespace moesim::test {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("every schedule is complete and does not deadlock", "[training][pipeline]") {
  const auto& entry = pipeline_schedules()[GENERATE(range(0U, 7U))];
  REQUIRE(pipeline_schedules().size() == 7);
  const int stages = 2 * GENERATE(1, 2, 3, 8);
  const int micro_batches = stages * GENERATE(2, 3, 6);
  const int chunks = entry.name == "interleaved" ? GENERATE(2, 5) : 1;
  CAPTURE(entry.name, stages, micro_batches, chunks);
  const PipelineSchedule schedule = schedule_of(entry.name, stages, micro_batches, chunks);
  CHECK_NOTHROW(check_pipeline(schedule));
  CHECK(schedule.stages() == stages);
  CHECK(schedule.micro_batches() == micro_batches);
}

TEST_CASE("forwards beside backwards do not deadlock", "[training][pipeline]") {
  const int stages = GENERATE(1, 2, 5, 8);
  const int micro_batches = stages * GENERATE(1, 2, 6);
  const bool interleaved = GENERATE(false, true);
  CAPTURE(stages, micro_batches, interleaved);
  const PipelineSchedule schedule = schedule_of(interleaved ? "interleaved" : "1f1b", stages,
                                                micro_batches, interleaved ? 3 : 1, true);
  CHECK_NOTHROW(check_pipeline(schedule));
  for (const auto& order : schedule.actions) {
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (order[i].beside_next) {
        CHECK(order[i].micro_batch != order[i + 1].micro_batch);
      }
    }
  }
}

TEST_CASE("what stages keep is what the papers say", "[training][pipeline]") {
  using Kept = std::vector<int>;
  CHECK(kept_activations(schedule_of("gpipe", 4, 9)) == Kept{9, 9, 9, 9});
  CHECK(kept_activations(schedule_of("1f1b", 4, 9)) == Kept{4, 3, 2, 1});  // P - s
  CHECK(kept_activations(schedule_of("1f1b", 4, 2)) == Kept{2, 2, 2, 1});
  CHECK(kept_activations(schedule_of("zb_h1", 4, 9)) == Kept{4, 4, 4, 4});   // P
  CHECK(kept_activations(schedule_of("zb_h2", 4, 12)) == Kept{7, 7, 7, 7});  // 2P - 1
  CHECK(kept_activations(schedule_of("dualpipe", 4, 12)) == Kept{5, 5, 5, 5});
  CHECK(kept_activations(schedule_of("dualpipe", 16, 120)) == Kept(16, 17));  // P + 1
  // v P + P - 1 of the first stage's chunks, two less for every stage behind it.
  CHECK(kept_activations(schedule_of("interleaved", 4, 12, 3)) == Kept{15, 13, 11, 9});
}

TEST_CASE("DualPipe holds parameters twice, others once", "[training][pipeline]") {
  for (const PipelineEntry& entry : pipeline_schedules()) {
    CAPTURE(entry.name);
    const PipelineSchedule schedule =
        schedule_of(entry.name, 4, 8, entry.name == "interleaved" ? 2 : 1);
    std::vector<int> parts;
    for (const auto& chunks : schedule.part) {
      parts.insert(parts.end(), chunks.begin(), chunks.end());
    }
    std::ranges::sort(parts);
    const auto copies = std::ranges::count(parts, 0);
    CHECK(copies == (entry.name == "dualpipe" ? 2 : 1));
    CHECK(std::ssize(parts) == copies * (parts.back() + 1));
  }
}

TEST_CASE("shapes that a schedule does not have are refused", "[training][pipeline]") {
  CHECK_THROWS_WITH(schedule_of("1f1b", 4, 8, 2), Contains("vpp > 1 is interleaved"));
  CHECK_THROWS_WITH(schedule_of("interleaved", 4, 8), Contains("vpp > 1"));
  CHECK_THROWS_WITH(schedule_of("interleaved", 4, 9, 2), Contains("no multiple of 4 stages"));
  CHECK_THROWS_WITH(schedule_of("dualpipe", 3, 8), Contains("even number of stages"));
  CHECK_THROWS_WITH(schedule_of("dualpipe", 4, 6), Contains("two per stage (8)"));
  CHECK_THROWS_WITH(schedule_of("dualpipe", 4, 9), Contains("even number of micro-batches"));
  CHECK_THROWS_WITH(schedule_of("gpipe", 4, 9, 1, true), Contains("beside backwards"));
  CHECK_THROWS_WITH(schedule_of("2f2b", 4, 9), Contains("there are: gpipe, 1f1b"));
}

// Breaks a schedule that is whole; the message names what.
struct Broken {
  const char* message;
  void (*breaks)(PipelineSchedule&);
};

TEST_CASE("broken schedules are found", "[training][pipeline]") {
  const auto& broken = GENERATE(
      Broken{"runs once",
             [](PipelineSchedule& s) { s.actions[1].push_back(s.actions[1].front()); }},
      Broken{"runs forwards and backwards", [](PipelineSchedule& s) { s.actions[2].pop_back(); }},
      Broken{"weight gradients run where",
             [](PipelineSchedule& s) { s.actions[0].back().pass = Pass::input_grad; }},
      Broken{"weight gradients run where",
             [](PipelineSchedule& s) {
               s.actions[0].push_back({.pass = Pass::weight_grad, .micro_batch = 0});
             }},
      Broken{"stages exist", [](PipelineSchedule& s) { s.path[3][1].stage = 4; }},
      Broken{"chunks exist", [](PipelineSchedule& s) { s.path[3][1].chunk = 1; }},
      Broken{"visits a place once", [](PipelineSchedule& s) { s.path[3][1] = s.path[3][0]; }},
      Broken{"micro-batch that exists",
             [](PipelineSchedule& s) { s.actions[0].back().micro_batch = 8; }},
      Broken{"place of its micro-batch's path",
             [](PipelineSchedule& s) { s.actions[0].back().chunk = 1; }},
      Broken{"has a path", [](PipelineSchedule& s) { s.path[0].clear(); }},
      Broken{"forward and a backward",
             [](PipelineSchedule& s) { s.actions[0].front().beside_next = true; }},
      Broken{"a pair is two", [](PipelineSchedule& s) { s.actions[0].back().beside_next = true; }},
      Broken{"chunks and an order", [](PipelineSchedule& s) { s.part.pop_back(); }},
      // A stage wants micro-batch 0 backwards before its last stage has it forwards.
      Broken{"deadlock", [](PipelineSchedule& s) { std::swap(s.actions[3][0], s.actions[3][1]); }},
      Broken{"deadlock", [](PipelineSchedule& s) { std::ranges::reverse(s.actions[0]); }},
      // The two of a pair start together, but one waits for the other.
      Broken{"deadlock", [](PipelineSchedule& s) { s.actions[3].front().beside_next = true; }});
  PipelineSchedule schedule = schedule_of("1f1b", 4, 8);
  broken.breaks(schedule);
  CAPTURE(broken.message);
  CHECK_THROWS_WITH(check_pipeline(schedule), Contains(broken.message));
}

}  // namespace
}  // namespace moesim::test
