// Bubbles that the event engine finds, against the closed forms of the papers. Times are in units
// that are exact in binary where the formula is.
#include "sim/training/pipeline_times.h"

#include <catch2/catch.hpp>

#include "sim/core/index.h"
#include "tests/unit/training/pipeline_support.h"

namespace moesim::test {
namespace {

Approx exactly(double value) { return Approx(value).epsilon(1e-9).margin(1e-9); }

struct Times {
  double f, b, w;
};

void check_bubble(const PipelineSchedule& schedule, const IdealPipeline& ideal, double bubble) {
  const PipelineTimes times = ideal_times(schedule, ideal);
  for (int s = 0; s < schedule.stages(); ++s) {
    CAPTURE(s);
    CHECK(times.bubble(s).si() == exactly(bubble));
  }
}

TEST_CASE("GPipe's and 1F1B's bubble is (P - 1)(F + B)", "[training][pipeline]") {
  const auto [f, b, w] = GENERATE(Times{1, 1, 1}, Times{0.3, 0.7, 0.4}, Times{2, 1, 0.5});
  const int stages = GENERATE(1, 2, 4, 7, 16);
  const int micro_batches = stages + GENERATE(0, 1, 9);
  CAPTURE(f, b, w, stages, micro_batches);
  for (const char* name : {"gpipe", "1f1b"}) {
    check_bubble(schedule_of(name, stages, micro_batches), alike(f, b, w),
                 (stages - 1) * (f + b + w));
  }
}

TEST_CASE("interleaving divides 1F1B's bubble by the chunks", "[training][pipeline]") {
  const auto [f, b, w] = GENERATE(Times{1, 1, 1}, Times{0.3, 0.7, 0.4}, Times{2, 1, 0.5});
  const int stages = GENERATE(2, 4, 8);
  const int chunks = GENERATE(2, 3, 4);
  const int micro_batches = stages * GENERATE(1, 2, 5);
  CAPTURE(f, b, w, stages, chunks, micro_batches);
  // A chunk takes a part of what the stage does.
  check_bubble(schedule_of("interleaved", stages, micro_batches, chunks),
               alike(f / chunks, b / chunks, w / chunks), (stages - 1) * (f + b + w) / chunks);
}

TEST_CASE("ZB-H1's bubble is (P - 1)(F + B - W)", "[training][pipeline]") {
  const auto [f, b, w] = GENERATE(Times{1, 1, 1}, Times{1, 2, 1}, Times{1.1, 1.2, 0.8});
  const int stages = GENERATE(2, 4, 8);
  const int micro_batches = 2 * stages + GENERATE(0, 3, 24);
  CAPTURE(f, b, w, stages, micro_batches);
  // In DeepSeek-V3's words, where B includes W: ZB1P has (P - 1)(F + B - 2W).
  check_bubble(schedule_of("zb_h1", stages, micro_batches), alike(f, b, w),
               (stages - 1) * (f + b - w));
}

TEST_CASE("ZB-H2's first stage idles for (P - 1)(F + B - 2W)", "[training][pipeline]") {
  const auto [f, b, w] = GENERATE(Times{1, 1, 1}, Times{1, 2, 1}, Times{1.1, 1.2, 0.8});
  const int stages = GENERATE(2, 4, 8);
  const int micro_batches = 2 * stages + GENERATE(0, 3, 24);
  CAPTURE(f, b, w, stages, micro_batches);
  const PipelineSchedule schedule = schedule_of("zb_h2", stages, micro_batches);
  const PipelineTimes times = ideal_times(schedule, alike(f, b, w));
  CHECK(times.stages.front().idle_within().si() == exactly((stages - 1) * (f + b - 2 * w)));
  if (f == b && b == w) {
    for (const StageTimes& stage : times.stages) {
      CHECK(stage.idle_within().si() == exactly(0.0));
    }
  }
}

TEST_CASE("DualPipe's bubble is (P/2 - 1)(F&B + B - 3W)", "[training][pipeline]") {
  const auto [f, w] = GENERATE(std::pair{1.0, 1.0}, std::pair{2.0, 1.0}, std::pair{0.7, 0.4});
  const int stages = GENERATE(2, 4, 8, 16);
  const int micro_batches = 2 * stages + GENERATE(0, 4, 28);
  const double share = GENERATE(1.0, 0.8, 1.1);
  CAPTURE(f, w, stages, micro_batches, share);
  // Its condition: input gradients take as long as the forward.
  IdealPipeline ideal = alike(f, f, w);
  ideal.pair_share = share;
  const double pair = share * (2 * f + w);
  const double bubble = (stages / 2.0 - 1) * (pair + f + w - 3 * w);
  const PipelineTimes times = ideal_times(schedule_of("dualpipe", stages, micro_batches), ideal);
  for (int s = 0; s < stages; ++s) {
    // Away from the middle a stage has another number of pairs: other busy time, same end.
    if (share == 1.0 || std::abs(2 * s + 1 - stages) <= 3) {
      CAPTURE(s);
      CHECK(times.bubble(s).si() == exactly(bubble));
    }
  }
}

TEST_CASE("sends lengthen the way there and back", "[training][pipeline]") {
  IdealPipeline ideal = alike(1, 1, 1);
  ideal.send = Seconds(0.25);
  // One micro-batch: forwards and backwards of four stages, three sends each way.
  CHECK(ideal_times(schedule_of("1f1b", 4, 1), ideal).makespan.si() == exactly(12 + 6 * 0.25));
}

TEST_CASE("uneven parts: the longest stage sets the pace", "[training][pipeline]") {
  IdealPipeline ideal = alike(1, 1, 0);
  ideal.parts.resize(4, ideal.parts.front());
  ideal.parts[2] = {.forward = Seconds(2), .input_grad = Seconds(2), .weight_grad = Seconds(0)};
  const PipelineTimes times = ideal_times(schedule_of("1f1b", 4, 40), ideal);
  CHECK(times.stages[2].busy.si() == exactly(160));
  // Stage 2 waits for the first micro-batch to come, and for the last one to be home.
  CHECK(times.bubble(2).si() == exactly(2 + 2));
}

TEST_CASE("pairs hide what runs side by side", "[training][pipeline]") {
  const int stages = 4;
  const int micro_batches = 40;
  for (const auto& [name, chunks] : {std::pair{"1f1b", 1}, std::pair{"interleaved", 2}}) {
    CAPTURE(name);
    IdealPipeline ideal = alike(1, 1, 1);
    const auto plain =
        ideal_times(schedule_of(name, stages, micro_batches, chunks), ideal).makespan.si();
    ideal.pair_share = 0.75;
    const auto paired =
        ideal_times(schedule_of(name, stages, micro_batches, chunks, true), ideal).makespan.si();
    // All but the way in and out goes at three quarters of the time.
    CHECK(paired < 0.85 * plain);
    CHECK(paired > 0.75 * plain);
  }
}

TEST_CASE("a pass starts when its source has ended, to the bit", "[training][pipeline]") {
  for (const PipelineEntry& entry : pipeline_schedules()) {
    const PipelineSchedule schedule =
        schedule_of(entry.name, 4, 8, entry.name == "interleaved" ? 2 : 1);
    const PassSources sources = pass_sources(schedule);
    const PipelineTimes times = ideal_times(schedule, alike(1, 1.5, 0.75));
    for (std::size_t s = 0; s < sources.size(); ++s) {
      for (std::size_t i = 0; i < sources[s].size(); ++i) {
        if (const auto& source = sources[s][i]) {
          CHECK(times.stages[s].passes[i].start >=
                times.stages[at(source->place.stage)].passes[at(source->place.index)].end);
        }
      }
    }
  }
}

}  // namespace
}  // namespace moesim::test
