// Runs in which something is decided: merging, records, and replays of them.
#include <algorithm>
#include <catch2/catch.hpp>

#include "sim/flow/backend.h"
#include "sim/flow/crosscheck.h"
#include "sim/flow/live_run.h"
#include "tests/support/random_decisions.h"
#include "tests/support/random_graph.h"

namespace moesim::test {
namespace {

constexpr std::uint64_t seeds = 300;

bool same_bits(const RunResult& a, const RunResult& b) {
  const auto same = [](const TaskTimes& x, const TaskTimes& y) {
    return x.start_s == y.start_s && x.end_s == y.end_s;
  };
  return a.makespan_s == b.makespan_s && a.segment_ends_s == b.segment_ends_s &&
         std::ranges::equal(a.tasks, b.tasks, same);
}

void check_merging(const TaskGraph& graph) {
  const RunResult merged = make_fast_backend()->run(graph, true);
  const RunResult unmerged = make_fast_backend(Merging::off)->run(graph, true);
  CHECK(same_bits(merged, unmerged));
  CHECK(merged.events <= unmerged.events);
}

TEST_CASE("merging changes no bit of a plain graph", "[flow][property]") {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    check_merging(random_graph(seed));
  }
}

TEST_CASE("merging changes no bit of a graph with decisions", "[flow][property]") {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    check_merging(random_decisions(seed));
  }
}

TEST_CASE("graphs with decisions have all kinds of them", "[flow][property]") {
  int kept_waiting = 0;  // by a date or an executor
  int never_started = 0;
  int cut_short = 0;
  int stalls = 0;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    const TaskGraph graph = random_decisions(seed);
    const RunResult run = make_fast_backend()->run(graph, false);
    for (std::size_t i = 0; i < graph.tasks().size(); ++i) {
      const Task& task = graph.tasks()[i];
      double ready_s = 0.0;
      for (const TaskId before : graph.predecessors(task)) {
        ready_s = std::max(ready_s, run.tasks[static_cast<std::size_t>(before)].end_s);
      }
      kept_waiting += run.tasks[i].start_s > ready_s ? 1 : 0;
    }
    for (const Action& action : graph.actions()) {
      const auto index = static_cast<std::size_t>(action.target);
      const double when_s = run.tasks[static_cast<std::size_t>(action.cause)].end_s;
      if (action.kind == ActionKind::set_rate) {
        stalls += action.rate == 0.0 && when_s < run.makespan_s ? 1 : 0;
      } else if (run.tasks[index].end_s >= when_s) {
        (run.tasks[index].start_s < run.tasks[index].end_s ? cut_short : never_started) += 1;
      }
    }
  }
  CHECK(kept_waiting > 2000);
  CHECK(never_started > 200);
  CHECK(cut_short > 100);
  CHECK(stalls > 300);
}

TEST_CASE("merging changes no bit of a live run", "[flow][property]") {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    LiveRun merged;
    LiveRun unmerged(LiveRun::Recording::off, Merging::off);
    run_random_policy(merged, seed);
    run_random_policy(unmerged, seed);
    REQUIRE(merged.unfinished() == 0);
    bool same = merged.graph().tasks().size() == unmerged.graph().tasks().size();
    for (std::size_t i = 0; same && i < merged.graph().tasks().size(); ++i) {
      const TaskTimes a = merged.times(static_cast<TaskId>(i));
      const TaskTimes b = unmerged.times(static_cast<TaskId>(i));
      same = a.start_s == b.start_s && a.end_s == b.end_s;
    }
    CHECK(same);
  }
}

TEST_CASE("a record replays to the same times", "[flow][property]") {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = random_decisions(seed);
    const RunResult run = make_fast_backend()->run(graph, false);
    const Record record = record_of(graph);
    CHECK(record.graph.executor_count() == 0);
    const RunResult replay =
        in_original_ids(record, graph, make_fast_backend()->run(record.graph, false));
    const CrosscheckResult difference = compare_runs(run, replay);
    CAPTURE(difference.largest_absolute_s, difference.absolute_task);
    CHECK(difference.largest_relative < 1e-11);
  }
}

TEST_CASE("the record of a live run replays to the same times", "[flow][property]") {
  int cancelled = 0;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    LiveRun live;
    run_random_policy(live, seed);
    const Record record = live.record();
    const RunResult replay = make_fast_backend()->run(record.graph, false);
    double largest = 0.0;
    for (std::size_t i = 0; i < record.ids.size(); ++i) {
      const TaskTimes a = live.times(static_cast<TaskId>(i));
      const TaskTimes& b = replay.tasks[static_cast<std::size_t>(record.ids[i])];
      largest = std::max({largest, std::abs(a.start_s - b.start_s), std::abs(a.end_s - b.end_s)});
      cancelled += live.is_cancelled(static_cast<TaskId>(i)) ? 1 : 0;
    }
    CHECK(largest <= 1e-11 * replay.makespan_s);
  }
  CHECK(cancelled > 200);
}

}  // namespace
}  // namespace moesim::test
