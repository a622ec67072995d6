// Schedules against closed forms, on fixed times: what the interface can say.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>

#include "sim/core/error.h"
#include "tests/unit/engine/fixed_times.h"
#include "tests/unit/engine/schedules/by_arrival.h"
#include "tests/unit/engine/schedules/one_forward_one_backward.h"
#include "tests/unit/engine/schedules/weight_fetch.h"

using namespace moesim;
using moesim::testing::makespan;

namespace {

// attention, router, shared, dispatch, experts, combine of one micro-batch and layer.
struct Times {
  double attention = 4.0;
  double shared = 0.5;
  double dispatch = 1.0;
  double experts = 2.0;
  double combine = 1.5;
};

Work layers_work(int layers, int micro_batches, bool split) {
  Work work;
  for (int m = 0; m < micro_batches; ++m) {
    std::vector<WorkEdge> before;
    for (int layer = 0; layer < layers; ++layer) {
      const auto add = [&](WorkKind kind, std::vector<WorkEdge> after) {
        return WorkEdge{work.add({.kind = kind, .layer = layer, .batch = m}, after)};
      };
      WorkEdge attention = add(WorkKind::attention, before);
      if (split) {
        attention = add(WorkKind::attention_core, {attention});
      }
      const WorkEdge router = add(WorkKind::router, {attention});
      const WorkEdge shared = add(WorkKind::shared, {attention});
      const WorkEdge dispatch = add(WorkKind::dispatch, {router});
      const WorkEdge experts = add(WorkKind::experts, {dispatch});
      before = {shared, add(WorkKind::combine, {experts})};
    }
  }
  return work;
}

double run(const Work& work, std::string_view schedule, const Times& t, bool split = false) {
  return makespan(work, find_overlap(schedule, "test").make(work, {.attention_split = split}), 1, 2,
                  [&t, split](const WorkNode& node, int) {
                    switch (node.kind) {
                      case WorkKind::attention:
                      case WorkKind::attention_core:
                        return split ? t.attention / 2 : t.attention;
                      case WorkKind::shared:
                        return t.shared;
                      case WorkKind::dispatch:
                        return t.dispatch;
                      case WorkKind::experts:
                        return t.experts;
                      case WorkKind::combine:
                        return t.combine;
                      default:
                        return -1.0;
                    }
                  });
}

}  // namespace

TEST_CASE("1F1B takes (m + p - 1) forward and backward passes") {
  for (const auto& [stages, micro_batches] : {std::pair{2, 4}, std::pair{4, 8}, std::pair{3, 1}}) {
    const auto pipeline = moesim::testing::pipeline_work(stages, micro_batches);
    const double took = makespan(
        pipeline.work, moesim::testing::one_forward_one_backward(pipeline), stages, 2,
        [](const WorkNode& node, int) { return node.kind == WorkKind::dense ? 1.0 : 2.0; });
    CHECK(took == Approx((micro_batches + stages - 1) * 3.0));
  }
}

TEST_CASE("experts by arrival wait for others' rows with these alone") {
  // Rank 0 sends in 1 s, rank 1 in 3 s; own rows take 1.5 s, others' 2 s; what is kept is there at
  // once. Rank 0 has all rows at 3 s, rank 1 at 1 s, but its own sends are done at 3 s.
  const Work work = moesim::testing::arrival_work(1);
  const double took =
      makespan(work, moesim::testing::by_arrival(work), 1, 2, [](const WorkNode& node, int rank) {
        switch (node.kind) {
          case WorkKind::send:
            return node.part == 1 ? 0.0 : rank == 0 ? 1.0 : 3.0;
          case WorkKind::experts:
            return node.part == 0 ? 1.5 : 2.0;
          default:
            return -1.0;
        }
      });
  // Rank 1 computes its own rows from 3 s on and then the others'.
  CHECK(took == Approx(3.0 + 1.5 + 2.0));
}

TEST_CASE("ranks that send and fetch rows themselves wait for each other twice a layer") {
  Work work;
  const auto add = [&work](WorkKind kind, std::vector<WorkEdge> after) {
    return work.add({.kind = kind}, after);
  };
  const std::int32_t sent = add(WorkKind::send, {{add(WorkKind::router, {})}});
  const std::int32_t computed = add(WorkKind::experts, {{sent, EdgeScope::group}});
  const std::int32_t fetched = add(WorkKind::receive, {{computed, EdgeScope::group}});
  add(WorkKind::dense, {{fetched}});
  const auto seconds = [](const WorkNode& node, int rank) {
    switch (node.kind) {
      case WorkKind::send:
        return rank == 0 ? 1.0 : 3.0;
      case WorkKind::experts:
        return rank == 0 ? 4.0 : 2.0;
      case WorkKind::receive:
        return rank == 0 ? 0.5 : 1.0;
      default:
        return 0.25;
    }
  };
  const Schedule schedule = find_overlap("none", "test").make(work, {});
  // Rank 1 sends until 3.25 s, rank 0 computes until 7.25 s; rank 1 then takes 1 s, and rank 0 does
  // not wait for that.
  CHECK(makespan(work, schedule, 1, 2, seconds) == Approx(0.25 + 3.0 + 4.0 + 1.0 + 0.25));
  TaskGraph graph;
  moesim::testing::FixedTimes times(work, 1, 2, seconds, graph);
  build_graph(work, schedule, times, graph);
  CHECK(graph.tasks().size() == 2 * work.nodes().size());  // no chain reaches across them
}

TEST_CASE("weights fetched ahead cost what compute does not hide") {
  constexpr int layers = 10;
  const auto took = [](double fetch, int ahead) {
    const Work work = moesim::testing::fetch_work(layers, ahead);
    return makespan(work, moesim::testing::fetch_beside(work), 1, 1,
                    [fetch](const WorkNode& node, int) {
                      return node.kind == WorkKind::weight_fetch ? fetch
                             : node.kind == WorkKind::attention  ? 1.0
                                                                 : 2.0;
                    });
  };
  CHECK(took(0.5, layers) == Approx(layers * 3.0));        // hidden
  CHECK(took(5.0, layers) == Approx(layers * 5.0 + 2.0));  // the stream is never idle
  CHECK(took(5.0, 1) == Approx(layers * (5.0 + 2.0)));     // one buffer: fetch, then compute
}

TEST_CASE("without overlap everything adds up") {
  const Times t;
  const Work work = layers_work(5, 1, false);
  CHECK(run(work, "none", t) ==
        Approx(5 * (t.attention + t.shared + t.dispatch + t.experts + t.combine)));
}

TEST_CASE("two batches hide the all-to-all behind kernels") {
  constexpr int layers = 20;
  const Times t;
  const double kernels = t.attention + t.shared + t.experts;
  const Work work = layers_work(layers, 2, false);
  // Once both halves run, kernels never wait; only the first dispatches and the last combine show.
  const double took = run(work, "two_batch", t);
  CHECK(took >= 2 * layers * kernels);
  CHECK(took <= 2 * layers * kernels + 2 * (t.dispatch + t.combine));
  // Nothing to hide: nothing gained, nothing lost.
  Times alone = t;
  alone.dispatch = alone.combine = -1.0;
  CHECK(run(work, "two_batch", alone) == Approx(2 * layers * kernels));
  // Exchanges alone take turns on their stream.
  Times far = t;
  far.dispatch = far.combine = 20.0;
  CHECK(run(work, "two_batch", far) >= 2 * layers * (far.dispatch + far.combine));
}

TEST_CASE("attention in two stages hides what one does not") {
  constexpr int layers = 20;
  // Experts are too short to hide the exchanges that fall beside them; half an attention is not.
  const Times t{.attention = 8.0, .shared = 0.25, .dispatch = 2.0, .experts = 0.5, .combine = 2.0};
  const double kernels = t.attention + t.shared + t.experts;
  const double whole = run(layers_work(layers, 2, false), "two_batch", t);
  const double split = run(layers_work(layers, 2, true), "two_batch", t, true);
  CHECK(split < whole);
  CHECK(split <= 2 * layers * kernels + 2 * (t.dispatch + t.combine));
}

TEST_CASE("five_stage is two_batch with attention in two stages") {
  const Times t{.attention = 8.0, .shared = 0.25, .dispatch = 2.0, .experts = 0.5, .combine = 2.0};
  const Work work = layers_work(12, 2, true);
  CHECK(run(work, "five_stage", t, true) == run(work, "two_batch", t, true));
  CHECK(splits_attention(find_overlap("five_stage", "test"), {}));
}

TEST_CASE("nodes without work pass on what they wait for, to their own stream as well") {
  // A fetch of 2 s on stream 1 and a kernel of 5 s on stream 0; nothing is to be done by the nodes
  // that wait for them.
  Work work;
  const auto add = [&work](WorkKind kind, int layer, std::vector<WorkEdge> after) {
    return WorkEdge{work.add({.kind = kind, .layer = layer}, after)};
  };
  const auto took = [&work](std::vector<std::int32_t> streams) {
    Schedule schedule{.order = {}, .streams = 2};
    for (const std::int32_t stream : streams) {
      schedule.order.push_back({static_cast<std::int32_t>(schedule.order.size()), stream});
    }
    return makespan(work, schedule, 1, 1, [](const WorkNode& node, int) {
      switch (node.kind) {
        case WorkKind::weight_fetch:
          return 2.0;
        case WorkKind::shared:
          return 5.0;
        case WorkKind::dense:
          return 1.0;
        default:
          return -1.0;
      }
    });
  };
  SECTION("the next kernel of the stream waits, however many of them lie between") {
    const WorkEdge fetched = add(WorkKind::weight_fetch, 0, {});
    const WorkEdge nothing = add(WorkKind::attention, 0, {fetched});
    add(WorkKind::dense, 2, {add(WorkKind::attention, 1, {nothing})});
    CHECK(took({1, 0, 0, 0}) == Approx(2.0 + 1.0));
  }
  SECTION("the whole chain's edges count, not its first node's") {
    const WorkEdge kernel = add(WorkKind::shared, 0, {});
    const WorkEdge fetched = add(WorkKind::weight_fetch, 0, {});
    const WorkEdge first = add(WorkKind::attention, 1, {fetched});
    const WorkEdge second = add(WorkKind::router, 1, {first, kernel});
    add(WorkKind::weight_fetch, 2, {second});
    CHECK(took({0, 1, 0, 0, 1}) == Approx(5.0 + 2.0));
  }
}

TEST_CASE("schedules that lose or misplace work are refused") {
  const Work work = layers_work(2, 1, false);
  Schedule schedule = find_overlap("none", "test").make(work, {});
  Schedule lost = schedule;
  lost.order.pop_back();
  CHECK_THROWS_AS(check_schedule(work, lost), InvariantError);
  Schedule early = schedule;
  std::swap(early.order.front(), early.order.back());
  CHECK_THROWS_AS(check_schedule(work, early), InvariantError);
  Schedule nowhere = schedule;
  nowhere.order.front().stream = 7;
  CHECK_THROWS_AS(check_schedule(work, nowhere), InvariantError);
  CHECK_THROWS_AS(find_overlap("three_batch", "file.json#/policy/overlap"), ConfigError);
}
