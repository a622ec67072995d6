// A copy engine as an expert cache uses it: demand fetches go before prefetches that wait, a
// prefetch is chunked so that it gives way, and one that is no longer wanted is cancelled.
#include <catch2/catch.hpp>
#include <vector>

#include "sim/flow/live_run.h"

namespace moesim::test {
namespace {

constexpr double chunk_bytes = 50e6;
constexpr double link_rate = 50e9;  // a chunk takes 1 ms
constexpr std::int32_t demand = 1;
constexpr std::int32_t prefetch = 0;

class CopyEngine {
 public:
  CopyEngine()
      : compute_(run.add_resource({"compute", ResourceKind::compute, 1.0})),
        link_(run.add_resource({"pcie", ResourceKind::link, link_rate})),
        engine_(run.add_executor()) {
    chunk_ = run.begin_program();
    run.add_segment(0.0, std::vector<Need>{{link_, chunk_bytes}});
  }
  // The last chunk's task stands for the expert.
  std::vector<TaskId> fetch(int chunks, std::int32_t priority) {
    std::vector<TaskId> tasks;
    for (int i = 0; i < chunks; ++i) {
      tasks.push_back(
          run.submit({.program = chunk_}, {}, {.executor = engine_, .priority = priority}));
    }
    return tasks;
  }
  TaskId kernel(double seconds, const std::vector<TaskId>& after) {
    const ProgramId program = run.begin_program();
    run.add_segment(0.0, std::vector<Need>{{compute_, seconds}});
    return run.submit_in_order({.program = program}, after);
  }
  double end_ms(TaskId id) const { return 1e3 * run.times(id).end_s; }

  LiveRun run;

 private:
  std::int32_t compute_;
  std::int32_t link_;
  ExecutorId engine_;
  ProgramId chunk_ = 0;
};

TEST_CASE("a demand fetch waits for one chunk of the prefetch before it", "[flow][interface]") {
  CopyEngine host;
  const auto guess = host.fetch(4, prefetch);
  const TaskId router = host.kernel(1.5e-3, {});
  while (!host.run.has_ended(router)) {
    host.run.advance();
  }
  // A miss: known at 1.5 ms, while the second chunk is on its way.
  const auto miss = host.fetch(2, demand);
  const TaskId expert = host.kernel(1e-3, {miss.back()});
  while (!host.run.advance().empty()) {
  }
  CHECK(host.end_ms(guess[1]) == Approx(2));
  CHECK(host.end_ms(miss.back()) == Approx(4));
  CHECK(host.end_ms(expert) == Approx(5));
  CHECK(host.end_ms(guess.back()) == Approx(6));
}

TEST_CASE("a prefetch that is no longer wanted makes room", "[flow][interface]") {
  CopyEngine host;
  const auto wrong = host.fetch(3, prefetch);
  const auto right = host.fetch(1, prefetch);
  CHECK(host.run.advance(0.5e-3).empty());
  CHECK(host.run.progress(wrong[0]).service_left == Approx(0.5));
  for (const TaskId id : wrong) {
    host.run.cancel(id);  // one in service, two that wait
  }
  CHECK(host.run.advance().size() == 3);
  const auto ended = host.run.advance();
  REQUIRE(ended.size() == 1);
  CHECK(ended[0] == right[0]);
  CHECK(host.end_ms(wrong[2]) == Approx(0.5));
  CHECK(host.end_ms(right[0]) == Approx(1.5));
  CHECK(host.run.is_cancelled(wrong[0]));
  CHECK_FALSE(host.run.is_cancelled(right[0]));
}

}  // namespace
}  // namespace moesim::test
