// Laws that hold for every run, and relations between runs of related graphs.
#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

#include "sim/core/rng.h"
#include "sim/flow/backend.h"
#include "sim/flow/crosscheck.h"
#include "tests/support/graph_edit.h"
#include "tests/support/random_graph.h"
#include "tests/support/reference_engine.h"

namespace moesim::test {
namespace {

constexpr std::uint64_t seeds = 200;

RunResult run_fast(const TaskGraph& graph) { return make_fast_backend()->run(graph, true); }

// Largest difference of a task's start or end, in seconds; `first` is where b's tasks begin.
double largest_difference_s(const RunResult& a, const RunResult& b, std::size_t first = 0,
                            double factor = 1.0) {
  double largest = 0.0;
  for (std::size_t i = 0; i < a.tasks.size(); ++i) {
    const TaskTimes& other = b.tasks[first + i];
    largest = std::max({largest, std::abs(a.tasks[i].start_s - factor * other.start_s),
                        std::abs(a.tasks[i].end_s - factor * other.end_s)});
  }
  return largest;
}

double alone_s(const TaskGraph& graph, const Task& task) {
  double total_s = 0.0;
  for (const Segment& segment : graph.segments(task.program)) {
    double longest_s = 0.0;
    for (const Need& need : graph.needs(segment)) {
      const auto id = static_cast<std::size_t>(need.resource + task.resource_offset);
      longest_s = std::max(longest_s, need.amount / graph.resources[id].rate);
    }
    total_s += segment.latency_s + longest_s;
  }
  return total_s;
}

// By resource, in seconds at its rate.
std::vector<double> busy_s(const TaskGraph& graph) {
  std::vector<double> total_s(graph.resources.size(), 0.0);
  for (const Task& task : graph.tasks()) {
    for (const Segment& segment : graph.segments(task.program)) {
      for (const Need& need : graph.needs(segment)) {
        const auto id = static_cast<std::size_t>(need.resource + task.resource_offset);
        total_s[id] += need.amount / graph.resources[id].rate;
      }
    }
  }
  return total_s;
}

TEST_CASE("time never goes back and starts are the predecessors' ends", "[flow][property]") {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = random_graph(seed);
    const RunResult result = run_fast(graph);
    bool ordered = true;
    std::size_t segment_end = 0;
    for (std::size_t i = 0; i < graph.tasks().size(); ++i) {
      const Task& task = graph.tasks()[i];
      double start_s = 0.0;
      for (const TaskId before : graph.predecessors(task)) {
        start_s = std::max(start_s, result.tasks[static_cast<std::size_t>(before)].end_s);
      }
      ordered = ordered && result.tasks[i].start_s == start_s;
      double last_s = start_s;
      for (std::size_t k = 0; k < graph.segments(task.program).size(); ++k) {
        ordered = ordered && last_s <= result.segment_ends_s[segment_end];
        last_s = result.segment_ends_s[segment_end++];
      }
      ordered = ordered && last_s == result.tasks[i].end_s;
    }
    CHECK(ordered);
  }
}

TEST_CASE("a makespan lies between the critical path and the serial sum", "[flow][property]") {
  int tight_below = 0;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = random_graph(seed);
    const double makespan_s = run_fast(graph).makespan_s;
    std::vector<double> path_s;
    double serial_s = 0.0;
    for (const Task& task : graph.tasks()) {
      double before_s = 0.0;
      for (const TaskId before : graph.predecessors(task)) {
        before_s = std::max(before_s, path_s[static_cast<std::size_t>(before)]);
      }
      path_s.push_back(before_s + alone_s(graph, task));
      serial_s += alone_s(graph, task);
    }
    const double critical_s = *std::ranges::max_element(path_s);
    const double busiest_s = std::ranges::max(busy_s(graph));
    CHECK(makespan_s >= std::max(critical_s, busiest_s) * (1 - 1e-12));
    CHECK(makespan_s <= serial_s * (1 + 1e-12));
    tight_below += makespan_s <= critical_s * (1 + 1e-12) ? 1 : 0;
  }
  CHECK(tight_below >= 20);  // the bound bites: chains without overlap meet it
}

// The fast backend agrees with the reference, which keeps accounts.
TEST_CASE("all work is served and no resource beyond its rate", "[flow][property]") {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = random_graph(seed);
    const ReferenceRun reference = run_reference(graph);
    REQUIRE(compare_runs(run_fast(graph), reference.result).largest_relative < 1e-11);
    CHECK(reference.largest_use <= 1 + 1e-12);
    const std::vector<double> expected_s = busy_s(graph);
    for (std::size_t r = 0; r < expected_s.size(); ++r) {
      const double served_s = reference.served[r] / graph.resources[r].rate;
      CHECK(std::abs(served_s - expected_s[r]) <= 1e-11 * reference.result.makespan_s);
    }
  }
}

TEST_CASE("two runs give the same bits", "[flow][property]") {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = random_graph(seed);
    const RunResult recorded = run_fast(graph);
    const RunResult again = run_fast(graph);
    const RunResult plain = make_fast_backend()->run(graph, false);
    CHECK(largest_difference_s(recorded, again) == 0.0);
    CHECK(largest_difference_s(recorded, plain) == 0.0);
    CHECK(recorded.segment_ends_s == again.segment_ends_s);
    CHECK(recorded.events == plain.events);
    CHECK(plain.segment_ends_s.empty());
  }
}

TEST_CASE("twice the rates and half the latencies give half the times", "[flow][property]") {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = random_graph(seed);
    TaskGraph scaled;
    append(scaled, graph, {.rate_factor = 2.0, .latency_factor = 0.5});
    CHECK(largest_difference_s(run_fast(graph), run_fast(scaled), 0, 2.0) == 0.0);
  }
}

TEST_CASE("resources have no order", "[flow][property]") {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = random_graph(seed);
    std::vector<std::int32_t> new_ids(graph.resources.size());
    std::iota(new_ids.begin(), new_ids.end(), 0);
    Rng rng = RngStreams(seed).stream("relabel");
    shuffle(std::span(new_ids), rng);
    TaskGraph relabelled;
    append(relabelled, graph, {.new_resource_ids = new_ids});
    const RunResult result = run_fast(graph);
    CHECK(largest_difference_s(result, run_fast(relabelled)) <= 1e-12 * result.makespan_s);
  }
}

TEST_CASE("unused resources change nothing", "[flow][property]") {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = random_graph(seed);
    TaskGraph roomier;
    roomier.resources.resize(5);
    append(roomier, graph);
    roomier.resources.resize(roomier.resources.size() + 5);
    CHECK(largest_difference_s(run_fast(graph), run_fast(roomier)) == 0.0);
  }
}

TEST_CASE("graphs without common resources do not see each other", "[flow][property]") {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph a = random_graph(seed);
    const TaskGraph b = random_graph(seed + seeds);
    TaskGraph both;
    append(both, a);
    append(both, b);
    const RunResult result = run_fast(both);
    CHECK(largest_difference_s(run_fast(a), result) == 0.0);
    CHECK(largest_difference_s(run_fast(b), result, a.tasks().size()) == 0.0);
  }
}

TEST_CASE("runs are compared by their tasks' ends", "[flow][unit]") {
  RunResult a;
  a.tasks = {{0, 1.0}, {0, 1e-6}, {0, 2.0}};
  RunResult b = a;
  CHECK(compare_runs(a, b).agrees);
  CHECK(compare_runs(a, b).absolute_task == -1);
  b.tasks[1].end_s += 1.5e-12;  // 1.5e-6 of it, but within 2 ps
  b.tasks[2].end_s += 1e-9;     // 5e-10 of it
  const CrosscheckResult close = compare_runs(a, b);
  CHECK(close.agrees);
  CHECK(close.relative_task == 1);
  CHECK(close.absolute_task == 2);
  CHECK(close.largest_absolute_s == Approx(1e-9));
  b.tasks[0].end_s += 3e-9;
  CHECK_FALSE(compare_runs(a, b).agrees);
  CHECK(compare_runs(b, a).largest_relative == compare_runs(a, b).largest_relative);
}

}  // namespace
}  // namespace moesim::test
