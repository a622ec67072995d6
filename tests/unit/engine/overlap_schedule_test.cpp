// Overlap schedules of shipped models' work against papers' closed forms, on fixed times.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <functional>

#include "sim/core/error.h"
#include "sim/engine/lowering/step_work.h"
#include "tests/unit/engine/fixed_times.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using moesim::testing::makespan;

namespace {

// Of one layer.
struct Times {
  double attention = 4.0;
  double shared = 0.5;
  double dispatch = 1.0;
  double experts = 2.0;
  double combine = 1.5;
};

// Seconds of a node of a shipped model under a schedule; < 0: none.
using NodeSeconds = std::function<double(const WorkNode&)>;

double run_model(const char* model, std::string_view schedule, const OverlapOptions& options,
                 const NodeSeconds& seconds) {
  const auto loaded = moesim::testing::shipped_library().model(model, "test");
  const OverlapEntry& entry = find_overlap(schedule, "test");
  const Work work = step_work(loaded->model, {.micro_batches = entry.micro_batches,
                                              .attention_split = splits_attention(entry, options),
                                              .rule = entry.parts,
                                              .parts = parts_of(entry, options),
                                              .gathers_in_units = entry.gathers_in_units});
  return makespan(work, entry.make(work, options), 1, 2,
                  [&seconds](const WorkNode& node, int) { return seconds(node); });
}

// Of DeepSeek-V2-Lite: a dense layer and 26 with experts. Parts take equal shares.
constexpr int k_dense = 1;
constexpr int k_moe = 26;
NodeSeconds shares(const Times& t, int dispatches, int parts) {
  return [=](const WorkNode& node) {
    switch (node.kind) {
      case WorkKind::attention:
        return t.attention;
      case WorkKind::shared:
        return t.shared;
      case WorkKind::dispatch:
        return t.dispatch / dispatches;
      case WorkKind::experts:
        return t.experts / parts;
      case WorkKind::combine:
        return t.combine / parts;
      default:
        return -1.0;
    }
  };
}

}  // namespace

TEST_CASE("one batch hides shared experts and half of its combine") {
  for (const double shared : {0.5, 2.5}) {
    for (const double combine : {1.0, 3.0}) {
      const Times t{.shared = shared, .combine = combine};
      CAPTURE(shared, combine);
      const double layer = t.attention + std::max(t.dispatch, t.shared) + t.experts / 2 +
                           std::max(t.experts, t.combine) / 2 + t.combine / 2;
      CHECK(run_model("deepseek-v2-lite", "single_batch", {}, shares(t, 1, 2)) ==
            Approx(k_dense * t.attention + k_moe * layer));
    }
  }
}

TEST_CASE("shared experts run beside the dispatch, and beside the combine what is left") {
  for (const double shared : {0.5, 2.5, 9.0}) {
    const Times t{.shared = shared};
    CAPTURE(shared);
    // With two kernels at once each has half of the device.
    const double beside = std::min(t.experts, std::max(0.0, shared - t.dispatch));
    const double combined = t.dispatch + t.experts + beside + t.combine;
    const double layer = t.attention + std::max(combined, t.shared + t.experts);
    CHECK(run_model("deepseek-v2-lite", "shared_expert", {}, shares(t, 1, 1)) ==
          Approx(k_dense * t.attention + k_moe * layer));
  }
}

// LongCat-Flash, arXiv:2509.01322: t1 + max(t_disp, t_dense + t_qkv) + t_moe + max(t_comb, t_attn1
// + t_dense) per layer (two blocks, of 28).
TEST_CASE("a shortcut hides dispatch and combine behind the dense branch") {
  for (const double dispatch : {1.0, 5.0}) {
    for (const double combine : {2.0, 7.0}) {
      CAPTURE(dispatch, combine);
      constexpr double qkv = 0.75;
      constexpr double core = 1.25;
      constexpr double dense = 1.5;
      constexpr double experts = 2.0;
      const auto seconds = [=](const WorkNode& node) {
        switch (node.kind) {
          case WorkKind::attention:
            return qkv;
          case WorkKind::attention_core:
            return core;
          case WorkKind::dense:
            return dense;
          case WorkKind::dispatch:
            return dispatch;
          case WorkKind::experts:
            return experts;
          case WorkKind::combine:
            return combine;
          default:
            return -1.0;
        }
      };
      const double layer = (qkv + core) + std::max(dispatch, dense + qkv) + experts +
                           std::max(combine, core + dense);
      CHECK(run_model("longcat-flash", "shortcut", {}, seconds) == Approx(28 * layer));
      CHECK(run_model("longcat-flash", "none", {}, seconds) ==
            Approx(28 * (2 * (qkv + dense) + dispatch + experts + combine)));  // no core
    }
  }
}

// FSMoE, arXiv:2501.10714, section 4, without its intra-node stream and gradients: case 2 (experts
// are longest), 2 t_a2a + r t_exp; case 1 (exchanges are), 2 r t_a2a.
TEST_CASE("chunks pipeline exchanges and experts") {
  for (const int degree : {1, 2, 3, 4, 8}) {
    CAPTURE(degree);
    const auto took = [degree](const Times& t) {
      const double all =
          run_model("deepseek-v2-lite", "chunked", {.degree = degree}, shares(t, degree, degree));
      return (all - k_dense * t.attention) / k_moe - t.attention - t.shared;
    };
    const Times long_experts{.dispatch = 1.0, .experts = 3.0, .combine = 1.0};
    CHECK(took(long_experts) == Approx((1.0 + 1.0) / degree + 3.0));
    const Times long_exchange{.dispatch = 3.0, .experts = 1.0, .combine = 3.0};
    CHECK(took(long_exchange) == Approx(degree == 1 ? 3.0 + 1.0 + 3.0 : 3.0 + 3.0));
  }
}

TEST_CASE("one chunk is no overlap, to the bit") {
  const Times t;
  CHECK(run_model("deepseek-v2-lite", "chunked", {.degree = 1}, shares(t, 1, 1)) ==
        run_model("deepseek-v2-lite", "none", {}, shares(t, 1, 1)));
  const OverlapEntry& chunked = find_overlap("chunked", "test");
  CHECK_THROWS_AS(parts_of(chunked, {}), InvariantError);
  CHECK(std::ranges::equal(degrees_of(chunked, {}), std::array{1, 2, 4, 8}));
  CHECK(std::ranges::equal(degrees_of(chunked, {.degree = 3}), std::array{3}));
}

// FSMoE's closed forms of a forward pass without gradients (section 4.2). Its case 3 counts a
// gather and a scatter that do not show if exchanges never wait: an upper bound.
TEST_CASE("three streams pipeline exchanges between nodes, within them, and experts") {
  for (const int r : {2, 4, 8}) {
    CAPTURE(r);
    const auto took = [r](double a2a, double within, double experts) {
      const auto seconds = [=](const WorkNode& node) {
        switch (node.kind) {
          case WorkKind::dispatch:
          case WorkKind::combine:
            return a2a;
          case WorkKind::unit_gather:
          case WorkKind::unit_scatter:
            return within;
          case WorkKind::experts:
            return experts;
          default:
            return -1.0;
        }
      };
      return run_model("deepseek-v2-lite", "three_stream", {.degree = r}, seconds) / k_moe;
    };
    CHECK(took(1.0, 0.5, 4.0) == Approx(2 * 1.0 + 2 * 0.5 + r * 4.0));  // case 2
    CHECK(took(0.5, 3.0, 0.25) == Approx(2 * 0.5 + 2 * r * 3.0));       // case 4
    const double case3 = took(4.0, 0.5, 0.25);
    CHECK(case3 >= 2 * r * 4.0);
    CHECK(case3 <= 2 * r * 4.0 + 2 * 0.5);
  }
}

TEST_CASE("experts compute what has arrived") {
  const auto took = [](double near, double far) {
    const Times t{.shared = 0.5};
    const auto seconds = [=](const WorkNode& node) {
      const std::array<double, 3> sent{-1.0, near, far};
      const std::array<double, 3> computed{1.0, 0.5, 2.0};
      switch (node.kind) {
        case WorkKind::attention:
          return t.attention;
        case WorkKind::shared:
          return t.shared;
        case WorkKind::dispatch:
        case WorkKind::combine:
          return sent.at(static_cast<std::size_t>(node.part));
        case WorkKind::experts:
          return computed.at(static_cast<std::size_t>(node.part));
        default:
          return -1.0;
      }
    };
    const double all = run_model("deepseek-v2-lite", "by_arrival", {}, seconds);
    return (all - k_dense * t.attention) / k_moe - t.attention - t.shared;
  };
  // Own rows until 1 s, then those of the node, then the others.
  CHECK(took(0.25, 0.75) == Approx(1.0 + 0.5 + 2.0 + 0.75));
  CHECK(took(2.0, 4.0) == Approx(4.0 + 2.0 + 4.0));
  // What the node sent back takes longest.
  CHECK(took(9.0, 0.5) == Approx(std::max(9.0 + 0.5 + 9.0, 9.5 + 2.0 + 0.5)));
}
