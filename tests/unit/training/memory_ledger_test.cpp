#include "sim/training/memory_ledger.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "sim/core/error.h"
#include "sim/core/index.h"
#include "tests/unit/training/pipeline_support.h"

namespace moesim::test {
namespace {

MemoryEvent event(double time, MemoryKind kind, std::int64_t bytes) {
  return {.time = Seconds(time), .kind = kind, .bytes = bytes};
}

TEST_CASE("a ledger says the peak, what stood there and what reached it", "[training][memory]") {
  MemoryLedger ledger(1, {{.name = "device", .capacity = 100}});
  ledger.add(event(0, MemoryKind::weights, 60));
  ledger.add(event(2, MemoryKind::activations, -30));
  ledger.add(event(1, MemoryKind::activations, 30));
  ledger.add(event(2, MemoryKind::transient, 45));  // at once with what is given back
  ledger.add(event(3, MemoryKind::transient, -45));
  const MemoryPeak peak = ledger.peak(0, 0);
  CHECK(peak.level.total() == 105);
  CHECK(peak.level.time == Seconds(2));
  CHECK(peak.level.by_kind == BytesByKind{60, 0, 0, 0, 0, 45});
  CHECK(peak.cause.kind == MemoryKind::transient);
  CHECK_FALSE(peak.fits());
  CHECK(peak.shortfall() == 5);
}

TEST_CASE("memory that fits to the byte fits", "[training][memory]") {
  MemoryLedger ledger(2, {{.name = "device", .capacity = 100}, {.name = "host", .capacity = 7}});
  ledger.add({.time = Seconds(0), .device = 1, .tier = 1, .bytes = 7});
  CHECK(ledger.peak(1, 1).fits());
  CHECK(ledger.peak(1, 1).shortfall() == 0);
  ledger.add({.time = Seconds(0), .device = 1, .tier = 1, .bytes = 1});
  CHECK(ledger.peak(1, 1).shortfall() == 1);
  REQUIRE(ledger.peaks().size() == 4);
  CHECK(ledger.peaks()[3].level.total() == 8);
  CHECK(ledger.peaks()[2].level.total() == 0);
}

TEST_CASE("what was not taken cannot be given back", "[training][memory]") {
  MemoryLedger ledger(1, {{.name = "device", .capacity = 100}});
  ledger.add(event(0, MemoryKind::weights, 5));
  ledger.add(event(1, MemoryKind::activations, -5));
  CHECK_THROWS_AS(ledger.levels(0, 0), InvariantError);
  CHECK_THROWS_AS(ledger.add({.device = 1}), InvariantError);
  CHECK_THROWS_AS(ledger.add({.tier = 1}), InvariantError);
}

// Stages that differ, chunks that differ; odd sizes, so that nothing adds up by chance.
std::vector<StageMemory> made_up(const PipelineSchedule& schedule) {
  std::vector<StageMemory> stages;
  for (int s = 0; s < schedule.stages(); ++s) {
    StageMemory memory{.weights = Bytes(1'000'003 + s),
                       .gradients = Bytes(2'000'029 + s),
                       .optimizer = Bytes(6'000'089.5 + s),
                       .buffers = Bytes(70'001),
                       .activations = {},
                       .transient = {}};
    for (std::size_t c = 0; c < schedule.part[at(s)].size(); ++c) {
      memory.activations.emplace_back(10'007.0 + 1000.0 * static_cast<double>(c) + s);
      memory.transient.emplace_back(503.0 + static_cast<double>(c));
    }
    stages.push_back(std::move(memory));
  }
  return stages;
}

std::vector<std::vector<PassSpan>> spans(const PipelineTimes& times) {
  std::vector<std::vector<PassSpan>> result;
  for (const StageTimes& stage : times.stages) {
    result.push_back(stage.passes);
  }
  return result;
}

// Counts by looking at every pass, without adding up.
BytesByKind counted(const PipelineSchedule& schedule, const StageMemory& memory, int stage,
                    const std::vector<PassSpan>& passes, Seconds now) {
  const auto whole = [](Bytes bytes) {
    return static_cast<std::int64_t>(bytes.si()) + (bytes.si() > std::floor(bytes.si()) ? 1 : 0);
  };
  BytesByKind kept{whole(memory.weights),
                   whole(memory.gradients),
                   whole(memory.optimizer),
                   whole(memory.buffers),
                   0,
                   0};
  const auto& order = schedule.actions[at(stage)];
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (passes[i].start <= now && now < passes[i].end) {
      kept[5] += whole(memory.transient[at(order[i].chunk)]);
    }
    if (order[i].pass != Pass::forward || now < passes[i].start) {
      continue;
    }
    const auto over = [&](std::size_t j) {
      return order[j].micro_batch == order[i].micro_batch && order[j].chunk == order[i].chunk &&
             (order[j].pass == Pass::backward || order[j].pass == Pass::weight_grad) &&
             passes[j].end <= now;
    };
    bool gone = false;
    for (std::size_t j = 0; j < order.size(); ++j) {
      gone = gone || over(j);
    }
    kept[4] += gone ? 0 : whole(memory.activations[at(order[i].chunk)]);
  }
  return kept;
}

TEST_CASE("weights, gradients, states and activations are the ledger at every event",
          "[training][memory][property]") {
  const auto& entry = pipeline_schedules()[GENERATE(range(0U, 7U))];
  CAPTURE(entry.name);
  const PipelineSchedule schedule =
      schedule_of(entry.name, 4, 12, entry.name == "interleaved" ? 3 : 1);
  const auto stages = made_up(schedule);
  IdealPipeline ideal = alike(1, 1.25, 0.5);
  ideal.send = Seconds(0.125);
  const auto passes = spans(ideal_times(schedule, ideal));
  const MemoryLedger ledger = iteration_ledger({.schedule = schedule,
                                                .stages = stages,
                                                .passes = passes,
                                                .device_capacity = Bytes(1e9),
                                                .host_capacity = Bytes(1e9)});
  const auto most = kept_activations(schedule);
  for (int s = 0; s < schedule.stages(); ++s) {
    const auto levels = ledger.levels(s, 0);
    for (std::size_t i = 0; i < levels.size(); ++i) {
      if (i + 1 < levels.size() && levels[i + 1].time == levels[i].time) {
        continue;  // more happens at this instant
      }
      CHECK(levels[i].by_kind ==
            counted(schedule, stages[at(s)], s, passes[at(s)], levels[i].time));
    }
    // In the end only what is fixed is left.
    const BytesByKind& last = levels.back().by_kind;
    CHECK(last[4] == 0);
    CHECK(last[5] == 0);
    CHECK(levels.back().total() == last[0] + last[1] + last[2] + last[3]);
    if (entry.name != "interleaved" && entry.name != "dualpipe") {
      const auto peak = std::ranges::max(levels, {}, [](const auto& l) { return l.by_kind[4]; });
      CHECK(peak.by_kind[4] ==
            most[at(s)] * static_cast<std::int64_t>(stages[at(s)].activations[0].si()));
    }
  }
}

TEST_CASE("offloaded states are in the host's tier", "[training][memory]") {
  const PipelineSchedule schedule = schedule_of("1f1b", 2, 4);
  const auto stages = made_up(schedule);
  const auto passes = spans(ideal_times(schedule, alike(1, 1, 1)));
  const MemoryLedger ledger = iteration_ledger({.schedule = schedule,
                                                .stages = stages,
                                                .passes = passes,
                                                .device_capacity = Bytes(3e6),
                                                .host_capacity = Bytes(1e9),
                                                .optimizer_on_host = true});
  CHECK(ledger.peak(1, 1).level.total() == 6'000'091);
  CHECK(ledger.peak(1, 1).fits());
  const MemoryPeak peak = ledger.peak(0, 0);
  CHECK(peak.level.by_kind[2] == 0);
  // Two micro-batches (the peak is the second forward), one pass at a time.
  CHECK(peak.level.total() == 1'000'003 + 2'000'029 + 70'001 + 2 * 10'007 + 503);
  CHECK(peak.cause.micro_batch == 1);
  CHECK(peak.shortfall() == peak.level.total() - 3'000'000);
}

}  // namespace
}  // namespace moesim::test
