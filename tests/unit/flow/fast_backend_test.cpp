// Times derived by hand. One device of compute and memory, rate 1, and a link of 100 GB/s.
#include <catch2/catch.hpp>
#include <vector>

#include "sim/core/error.h"
#include "sim/flow/backend.h"

namespace moesim::test {
namespace {

constexpr std::int32_t compute = 0;
constexpr std::int32_t memory = 1;
constexpr std::int32_t link = 2;

struct Step {
  double latency_s = 0.0;
  std::vector<Need> needs;
};

class Scene {
 public:
  Scene() {
    graph.resources = {{"compute", ResourceKind::compute, 1.0},
                       {"memory", ResourceKind::memory, 1.0},
                       {"link", ResourceKind::link, 100e9}};
  }
  TaskId add(const std::vector<Step>& steps, const std::vector<TaskId>& after = {}) {
    const ProgramId program = graph.begin_program();
    for (const Step& step : steps) {
      graph.add_segment(step.latency_s, step.needs);
    }
    return graph.add_task({.program = program}, after);
  }
  // A task without resources, to let others start late.
  TaskId delay(double seconds) { return add({{seconds, {}}}); }
  RunResult run() const { return make_fast_backend()->run(graph, true); }

  TaskGraph graph;
};

double end_us(const RunResult& result, TaskId id) {
  return 1e6 * result.tasks[static_cast<std::size_t>(id)].end_s;
}
double segment_end_us(const RunResult& result, std::size_t index) {
  return 1e6 * result.segment_ends_s[index];
}
Approx close_to(double value) { return Approx(value).epsilon(1e-11); }

TEST_CASE("two flows share a link in halves", "[flow][unit]") {
  Scene scene;
  const TaskId large = scene.add({{1e-6, {{link, 1e9}}}});
  const TaskId small = scene.add({{1e-6, {{link, 0.5e9}}}});
  const RunResult result = scene.run();
  // 50 GB/s each: the small one takes 10 ms; then 0.5 GB are left at 100 GB/s.
  CHECK(end_us(result, small) == close_to(10'001));
  CHECK(end_us(result, large) == close_to(15'001));
  CHECK(result.makespan_s == result.tasks[static_cast<std::size_t>(large)].end_s);
}

TEST_CASE("a kernel takes its latency and then the longest of its needs", "[flow][unit]") {
  Scene scene;
  const TaskId kernel =
      scene.add({{2e-6, {{compute, 3e-6}, {memory, 5e-6}}}, {1e-6, {{compute, 4e-6}}}});
  const RunResult result = scene.run();
  CHECK(segment_end_us(result, 0) == close_to(7));
  CHECK(segment_end_us(result, 1) == close_to(12));
  CHECK(end_us(result, kernel) == close_to(12));
}

TEST_CASE("a latency holds nothing", "[flow][unit]") {
  Scene scene;
  const TaskId late = scene.add({{2e-6, {{compute, 4e-6}}}});
  const TaskId early = scene.add({{0, {{compute, 3e-6}}}});
  const RunResult result = scene.run();
  // Until 2 us the early one is alone and has 1 us left; in halves that lasts until 4 us, when
  // the late one has 3 us left.
  CHECK(end_us(result, early) == close_to(4));
  CHECK(end_us(result, late) == close_to(7));
}

TEST_CASE("a chain is interrupted midway", "[flow][unit]") {
  Scene scene;
  const std::vector<Step> chain_steps(3, {1e-6, {{compute, 4e-6}}});
  const TaskId chain = scene.add(chain_steps);
  const TaskId wait = scene.delay(7e-6);
  const TaskId other = scene.add({{0, {{compute, 2e-6}}}}, {wait});
  const RunResult result = scene.run();
  // The second segment serves from 6 us on and has 3 us left at 7 us. In halves until 11 us, when
  // the other one is done and 1 us is left; the third one takes 5 us.
  CHECK(end_us(result, other) == close_to(11));
  CHECK(segment_end_us(result, 0) == close_to(5));
  CHECK(segment_end_us(result, 1) == close_to(12));
  CHECK(segment_end_us(result, 2) == close_to(17));
  CHECK(end_us(result, chain) == close_to(17));
}

TEST_CASE("a chain is interrupted a second time", "[flow][unit]") {
  Scene scene;
  const std::vector<Step> chain_steps(3, {1e-6, {{compute, 4e-6}}});
  const TaskId chain = scene.add(chain_steps);
  scene.add({{0, {{compute, 2e-6}}}}, {scene.delay(7e-6)});
  // As above, and again in the third segment, which serves from 13 us on: 3 us left at 14 us, in
  // halves until 16 us, and 2 us more.
  const TaskId second = scene.add({{0, {{compute, 1e-6}}}}, {scene.delay(14e-6)});
  const RunResult result = scene.run();
  CHECK(end_us(result, second) == close_to(16));
  CHECK(end_us(result, chain) == close_to(18));
}

TEST_CASE("what a chain has behind it stays when a rate changes there", "[flow][unit]") {
  Scene scene;
  const TaskId chain = scene.add({{0, {{compute, 10e-6}}}, {0, {{memory, 10e-6}}}});
  // Comes where the chain has been, so that the chain is not told of the rate below.
  const TaskId behind = scene.add({{0, {{compute, 10e-6}}}}, {scene.delay(12e-6)});
  scene.graph.set_rate_after(scene.delay(15e-6), compute, 0.5);
  const TaskId ahead = scene.add({{0, {{memory, 10e-6}}}}, {scene.delay(18e-6)});
  const RunResult result = scene.run();
  // 2 us of the chain's second segment are left at 18 us; both get half, then the other gets all.
  CHECK(end_us(result, chain) == close_to(22));
  CHECK(end_us(result, ahead) == close_to(30));
  CHECK(end_us(result, behind) == close_to(29));  // 3 us done at 15 us, 7 us at half the rate
  CHECK(segment_end_us(result, 0) == close_to(10));
}

TEST_CASE("a visitor that is gone before the chain's latency ends changes nothing",
          "[flow][unit]") {
  Scene scene;
  const TaskId chain = scene.add({{1e-6, {{compute, 4e-6}}}, {5e-6, {{compute, 4e-6}}}});
  const TaskId visitor = scene.add({{0, {{compute, 2e-6}}}}, {scene.delay(6e-6)});
  const RunResult result = scene.run();
  CHECK(end_us(result, visitor) == close_to(8));
  CHECK(end_us(result, chain) == close_to(14));
}

TEST_CASE("different bottlenecks leave room for each other", "[flow][unit]") {
  Scene scene;
  const TaskId a = scene.add({{0, {{compute, 1.0}}}});
  const TaskId b = scene.add({{0, {{compute, 0.5}, {memory, 1.0}}}});
  const RunResult result = scene.run();
  // Half of the compute is just what b can use at memory's full rate. Then a has half of it left.
  CHECK(end_us(result, b) == close_to(1.0e6));
  CHECK(end_us(result, a) == close_to(1.5e6));
}

TEST_CASE("a finished segment's last increment goes on being charged", "[flow][unit]") {
  Scene scene;
  const TaskId x = scene.add({{0, {{link, 100e9}, {compute, 0.1}}}});
  const TaskId y = scene.add({{0, {{compute, 1.0}, {memory, 2.5}}}});
  const TaskId z = scene.add({{0, {{compute, 1.0}}}});
  const RunResult result = scene.run();
  // Round 1: compute's share is 1/3; x rises to 1 and is done with the link, y and z to 1/3;
  // compute has 1 - 0.1 - 2/3 = 7/30 left, memory 1/6. Round 2: y rises by (1/6)/2.5 to 0.4, z by
  // 7/60 to 0.45; compute is charged for these and x's 0.1 again, so that it counts as exhausted
  // with 0.05 left. When x has ended at 1 s, z runs at 1/2 + 1/10.
  CHECK(end_us(result, x) == close_to(1e6));
  CHECK(end_us(result, y) == close_to(2.5e6));
  CHECK(end_us(result, z) == close_to(1e6 * (1.0 + 0.55 / 0.6)));
}

TEST_CASE("equal tasks end together and their successor starts then", "[flow][unit]") {
  Scene scene;
  const TaskId a = scene.add({{0, {{link, 1e9}}}});
  const TaskId b = scene.add({{0, {{link, 1e9}}}});
  const TaskId after = scene.add({{3e-6, {}}}, {a, b});
  const RunResult result = scene.run();
  CHECK(end_us(result, a) == close_to(20'000));
  CHECK(result.tasks[0].end_s == result.tasks[1].end_s);
  CHECK(result.tasks[2].start_s == result.tasks[0].end_s);
  CHECK(end_us(result, after) == close_to(20'003));
}

TEST_CASE("tasks and segments without duration end at once", "[flow][unit]") {
  Scene scene;
  const TaskId first = scene.add({});
  const TaskId second = scene.add({{0, {}}, {0, {}}}, {first});
  const TaskId third = scene.add({{0, {{compute, 1e-6}}}, {0, {}}}, {second});
  const TaskId fourth = scene.add({}, {third});
  const RunResult result = scene.run();
  CHECK(result.tasks[1].end_s == 0.0);
  CHECK(end_us(result, third) == close_to(1));
  CHECK(end_us(result, fourth) == close_to(1));
  CHECK(make_fast_backend()->run(TaskGraph{}, true).makespan_s == 0.0);
}

TEST_CASE("a chunked message ends when the whole one does", "[flow][unit]") {
  const auto chunks = GENERATE(1, 2, 7, 64);
  const bool as_tasks = GENERATE(false, true);
  Scene scene;
  scene.add({{0, {{link, 0.5e9}}}});
  scene.add({{1e-3, {{link, 0.25e9}}}});
  const double chunk = 1e9 / chunks;
  TaskId last = -1;
  if (as_tasks) {
    for (int i = 0; i < chunks; ++i) {
      last = scene.add({{0, {{link, chunk}}}}, i == 0 ? std::vector<TaskId>{} : std::vector{last});
    }
  } else {
    last = scene.add(std::vector<Step>(static_cast<std::size_t>(chunks), {0, {{link, chunk}}}));
  }
  // All bytes over one link that is never idle.
  CHECK(end_us(scene.run(), last) == close_to(17'500));
}

TEST_CASE("a chain that is alone is one event", "[flow][unit]") {
  Scene scene;
  scene.add(std::vector<Step>(5, {1e-6, {{compute, 4e-6}}}));
  CHECK(scene.run().events == 2);  // start and end
  // A visitor in the second segment: the chain goes on step by step (end of service 2), and is
  // alone again afterwards. Visitor and delay: start, end.
  scene.add({{0, {{compute, 2e-6}}}}, {scene.delay(7e-6)});
  CHECK(scene.run().events == 2 + 1 + 2 + 2);
}

TEST_CASE("the fast backend refuses malformed graphs", "[flow][unit]") {
  Scene scene;
  const ProgramId program = scene.graph.begin_program();
  scene.graph.add_segment(0, std::vector<Need>{{link, 1.0}});
  SECTION("a resource that does not exist") {
    scene.graph.add_task({.program = program, .resource_offset = 1}, {});
  }
  SECTION("a resource below the first one") {
    scene.graph.add_task({.program = program, .resource_offset = -3}, {});
  }
  SECTION("a rate that is not positive") { scene.graph.resources[link].rate = 0.0; }
  CHECK_THROWS_AS(scene.run(), InvariantError);
}

}  // namespace
}  // namespace moesim::test
