// Tasks that need no events, against events for everything.
#include <algorithm>
#include <catch2/catch.hpp>

#include "sim/core/rng.h"
#include "sim/flow/dispatcher.h"
#include "sim/flow/lookahead.h"
#include "tests/support/random_graph.h"

namespace moesim::test {
namespace {

using detail::Dispatcher;
using detail::Lookahead;

RunResult by_events(const TaskGraph& graph) {
  Dispatcher dispatcher(graph, {.merge = true, .record_segments = true}, nullptr);
  while (dispatcher.advance(detail::never_s)) {
  }
  REQUIRE(dispatcher.unfinished() == 0);
  return dispatcher.take_result();
}

bool same_bits(const RunResult& a, const RunResult& b) {
  const auto same = [](const TaskTimes& x, const TaskTimes& y) {
    return x.start_s == y.start_s && x.end_s == y.end_s;
  };
  return a.makespan_s == b.makespan_s && a.events == b.events &&
         a.segment_ends_s == b.segment_ends_s && std::ranges::equal(a.tasks, b.tasks, same);
}

struct Shapes {
  int all_foreseen = 0;
  int mixed = 0;
  int given_up = 0;
};

void check(const TaskGraph& graph, Shapes& shapes) {
  Lookahead lookahead(graph, true);
  const auto result = lookahead.run();
  if (!result) {
    ++shapes.given_up;
    return;
  }
  CHECK(same_bits(*result, by_events(graph)));
  CHECK(lookahead.served() + lookahead.foreseen() == graph.tasks().size());
  (lookahead.served() == 0 ? shapes.all_foreseen : shapes.mixed) += 1;
}

// Chains of devices between coflows of groups that share a spine. Layers of chains that take no
// time and (in every other graph) whole numbers of seconds make much happen at one instant, thirds
// of seconds show in which order it was added up.
TaskGraph groups_on_a_spine(std::uint64_t seed) {
  TaskGraph graph;
  std::uint64_t draw = 0;
  const auto below = [&](std::uint64_t n) { return mix64(seed * 1000 + draw++) % n; };
  const int groups = 1 + static_cast<int>(below(4));
  constexpr int devices = 3;  // of a group
  for (int i = 0; i < groups * devices; ++i) {
    graph.resources.push_back({"compute", ResourceKind::compute, 1.0});
    graph.resources.push_back({"link", ResourceKind::link, 1.0 + static_cast<double>(below(3))});
  }
  const auto spine = static_cast<std::int32_t>(graph.resources.size());
  graph.resources.push_back({"spine", ResourceKind::link, 1.0 + static_cast<double>(below(3))});
  const double unit = seed % 2 == 0 ? 1.0 : 1.0 / 3.0;
  const auto amount = [&] { return unit * (1.0 + static_cast<double>(below(4))); };
  std::vector<std::vector<TaskId>> last(static_cast<std::size_t>(groups));
  for (int layer = 0; layer < 6; ++layer) {
    for (int g = 0; g < groups; ++g) {
      auto& before = last[static_cast<std::size_t>(g)];
      std::vector<TaskId> chains;
      const std::uint64_t longest = below(4) == 0 ? 0 : 2;
      for (int d = 0; d < devices; ++d) {
        const ProgramId program = graph.begin_program();
        for (std::uint64_t s = below(longest + 1); s > 0; --s) {
          const std::array needs{Need{0, amount()}};
          graph.add_segment(static_cast<double>(below(2)), std::span(needs).first(below(2)));
        }
        const Task task{.program = program, .resource_offset = 2 * (g * devices + d)};
        chains.push_back(graph.add_task(task, before));
      }
      std::vector<Need> needs;
      for (int d = 0; d < devices; ++d) {
        needs.push_back({2 * (g * devices + d) + 1, amount()});
      }
      if (below(2) == 0) {
        needs.push_back({spine, amount()});
      }
      const ProgramId program = graph.begin_program();
      for (std::uint64_t s = 1 + below(2); s > 0; --s) {
        graph.add_segment(static_cast<double>(below(2)), needs);
      }
      before = {graph.add_task({.program = program}, chains)};
    }
  }
  return graph;
}

TEST_CASE("foreseen tasks have the times of events", "[flow][property]") {
  Shapes shapes;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    CAPTURE(seed);
    check(groups_on_a_spine(seed), shapes);
    check(random_graph(seed), shapes);
    check(random_graph(seed, {.micro_batches = 1}), shapes);
  }
  CHECK(shapes.all_foreseen >= 200);
  CHECK(shapes.mixed >= 200);
  CHECK(shapes.given_up >= 50);
}

TEST_CASE("who meets somebody is served, and nobody else", "[flow][unit]") {
  TaskGraph graph;
  graph.resources.assign(3, {"device", ResourceKind::compute, 1.0});
  const auto program = [&](std::int32_t resource, double amount) {
    const ProgramId id = graph.begin_program();
    const std::array needs{Need{resource, amount}};
    graph.add_segment(0.0, needs);
    return id;
  };
  const TaskId a = graph.add_task({.program = program(0, 1.0)}, {});
  const TaskId b = graph.add_task({.program = program(1, 4.0)}, std::array{a});  // 1..7
  graph.add_task({.program = program(1, 2.0)}, std::array{a});                   // 1..5
  graph.add_task({.program = program(2, 1.0)}, std::array{b});
  Lookahead lookahead(graph, false);
  const auto result = lookahead.run();
  REQUIRE(result);
  CHECK(lookahead.served() == 2);
  CHECK(lookahead.foreseen() == 2);
  CHECK(result->tasks[2].end_s == 5.0);
  CHECK(result->tasks[1].end_s == 7.0);
  CHECK(result->makespan_s == 8.0);
}

TEST_CASE("what takes for ever is not foreseen", "[flow][unit]") {
  TaskGraph graph;
  graph.resources.assign(1, {"link", ResourceKind::link, 1e-306});
  const ProgramId program = graph.begin_program();
  const std::array needs{Need{0, 1e6}};  // 1e312 s
  graph.add_segment(0.0, needs);
  const TaskId first = graph.add_task({.program = program}, {});
  graph.add_task({.program = program}, std::array{first});
  CHECK_FALSE(Lookahead(graph, false).run());
}

}  // namespace
}  // namespace moesim::test
