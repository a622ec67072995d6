#include "sim/reproduce/layer_grid.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/core/error.h"
#include "sim/core/rng.h"

using namespace moesim;
using Json = nlohmann::json;

namespace {

// FSMoE's chain (arXiv:2501.10714): dispatch, all-gather, experts, reduce-scatter, combine.
Json chain() {
  return Json::parse(R"({
    "over": {"a2a": [2], "ag": [1], "exp": [4], "rs": [1], "gar": [0]},
    "let": {"chunk": "1"},
    "degrees": [1, 2, 4],
    "passes": [{"name": "forward", "phases": [
      {"name": "dispatch", "stream": "inter", "seconds": "a2a"},
      {"name": "gather", "stream": "intra", "seconds": "ag"},
      {"name": "experts", "stream": "compute", "seconds": "exp"},
      {"name": "scatter", "stream": "intra", "seconds": "rs"},
      {"name": "combine", "stream": "inter", "seconds": "a2a"},
      {"name": "gradients", "stream": "inter", "seconds": "gar", "background": {"slices": 64}}]}]
  })");
}

struct Times {
  double a2a = 0;
  double ag = 0;
  double exp = 0;
  double rs = 0;
  double gar = 0;
};

double event_time(const Times& t, int r) {
  const LayerGrid grid = parse_layer_grid(chain(), "g#");
  const auto backend = make_fast_backend();
  return pass_seconds(grid, grid.passes[0], r,
                      {{"a2a", t.a2a}, {"ag", t.ag}, {"exp", t.exp}, {"rs", t.rs}, {"gar", t.gar}},
                      *backend, "g");
}

// The paper's closed forms, section 4.2.
double closed_form(const Times& t, int degree) {
  const double r = degree;
  const bool q1 = t.a2a > t.ag;
  const bool q2 = r * t.exp > 2 * (r - 1) * t.a2a;
  const bool q3 = r * t.exp > (r - 1) * (t.ag + t.rs);
  const bool q4 = t.gar > t.ag + t.rs;
  const double gap = r * t.exp - 2 * (r - 1) * t.a2a + t.ag + t.rs;
  const bool q5 = t.gar > gap;
  const bool q6 = t.gar > r * t.ag + r * t.rs - 2 * (r - 1) * t.a2a;
  if ((q1 && !q2 && q4) || (q1 && q2 && q5) || (!q1 && !q3 && q6) || (!q1 && q3 && q5)) {
    return 2 * r * t.a2a + t.gar;
  }
  if ((q1 && q2) || (!q1 && q3)) {
    return 2 * t.a2a + t.ag + t.rs + r * t.exp;
  }
  return q1 ? 2 * r * t.a2a + t.ag + t.rs : 2 * t.a2a + r * t.ag + r * t.rs;
}

Json edited(const std::string& pointer, const Json& value) {
  Json document = chain();
  document[Json::json_pointer(pointer)] = value;
  return document;
}

}  // namespace

TEST_CASE("the event engine gives FSMoE's cases where they are exact", "[reproduce][unit]") {
  // Case 2: experts bound, and nothing else matters.
  const Times compute{.a2a = 1, .ag = 0.5, .exp = 6, .rs = 0.5};
  // Case 4: gathers in the node bound; experts and all-to-alls end where they are waited for.
  const Times node{.a2a = 1, .ag = 3, .exp = 0.25, .rs = 3};
  for (const int r : {1, 2, 4, 8}) {
    CAPTURE(r);
    CHECK(event_time(compute, r) == Approx(closed_form(compute, r)).epsilon(1e-9));
    // The closed form leaves out the last chunk's experts, which no gather hides when r = 1.
    CHECK(event_time(node, r) >= closed_form(node, r) * (1 - 1e-9));
    CHECK(event_time(node, r) <= closed_form(node, r) + node.exp + 1e-9);
  }
  // Case 1: a gradient reduction longer than every gap; slices fill them to the last.
  for (const int r : {1, 2, 4}) {
    const Times gradient{.a2a = 2, .ag = 0.5, .exp = 1, .rs = 0.5, .gar = 64};
    CHECK(event_time(gradient, r) == Approx(closed_form(gradient, r)).epsilon(1e-9));
  }
}

// Case 3 says more than is needed where all-to-alls bound by far: the last chunk's gathers and
// experts hide behind earlier combines. A gather may have to wait for a scatter that was ready
// before it, which the case does not know of.
TEST_CASE("FSMoE's case 3 bounds the event engine but for one scatter", "[reproduce][property]") {
  Rng rng(3);
  int seen = 0;
  for (int i = 0; i < 200; ++i) {
    const Times t{.a2a = 1 + rng.uniform(),
                  .ag = 0.5 * rng.uniform(),
                  .exp = rng.uniform(),
                  .rs = 0.5 * rng.uniform()};
    const int r = 2 + static_cast<int>(rng.below(6));
    if (r * t.exp > 2 * (r - 1) * t.a2a || t.exp > t.a2a) {
      continue;
    }
    ++seen;
    CAPTURE(t.a2a, t.ag, t.exp, t.rs, r);
    CHECK(event_time(t, r) <= closed_form(t, r) + t.rs + 1e-9);
    CHECK(event_time(t, r) >= 2 * r * t.a2a - 1e-9);  // its stream's work
  }
  CHECK(seen > 100);
}

TEST_CASE("a chain lies between its busiest stream and its sum", "[reproduce][property]") {
  Rng rng(5);
  for (int i = 0; i < 200; ++i) {
    const Times t{rng.uniform(), rng.uniform(), rng.uniform(), rng.uniform(), rng.uniform()};
    const int r = 1 + static_cast<int>(rng.below(6));
    const double inter = 2 * r * t.a2a + t.gar;
    const double intra = r * (t.ag + t.rs);
    const double compute = r * t.exp;
    const double time = event_time(t, r);
    CHECK(time >= std::max({inter, intra, compute}) - 1e-9);
    CHECK(time <= inter + intra + compute + 1e-9);
  }
}

TEST_CASE("contention takes from transfers that run at once", "[reproduce][unit]") {
  const auto time = [](double capacity) {
    Json document = chain();
    document["contention"] = {{"streams", {"inter", "intra"}}, {"capacity", capacity}};
    const LayerGrid grid = parse_layer_grid(document, "g#");
    return pass_seconds(grid, grid.passes[0], 4,
                        {{"a2a", 1}, {"ag", 1}, {"exp", 0}, {"rs", 1}, {"gar", 0}},
                        *make_fast_backend(), "g");
  };
  const double free = event_time({.a2a = 1, .ag = 1, .rs = 1}, 4);
  CHECK(time(2) == Approx(free));
  CHECK(time(1) == Approx(16));  // one after the other: 2 x 4 + 2 x 4
  CHECK(time(1.5) > free);
  CHECK(time(1.5) < 16);
}

TEST_CASE("every pass has the degree that is best for it, or one for all", "[reproduce][unit]") {
  Json document = Json::parse(R"({
    "over": {"alpha": [0.25, 0.01]}, "degrees": [1, 2, 4],
    "passes": [
      {"name": "forward", "phases": [{"name": "a", "stream": "x", "seconds": "alpha + 1 / r"},
                                     {"name": "b", "stream": "y", "seconds": "alpha + 1 / r"}]},
      {"name": "backward", "phases": [{"name": "c", "stream": "x", "seconds": "0.1 + 4 / r"},
                                      {"name": "d", "stream": "y", "seconds": "0.1 + 4 / r"}]}]})");
  const auto backend = make_fast_backend();
  const LayerGrid own = parse_layer_grid(document, "g#");
  REQUIRE(own.points() == 2);
  const GridPoint first = run_grid_point(own, 0, *backend, "g");
  CHECK(first.passes[0].degree == 2);  // 3 x 0.75; degree 1: 2 x 1.25; 4: 5 x 0.5
  CHECK(first.passes[1].degree == 4);
  document["degree"] = "shared";
  const GridPoint shared = run_grid_point(parse_layer_grid(document, "g#"), 0, *backend, "g");
  CHECK(shared.passes[0].degree == shared.passes[1].degree);
  CHECK(shared.seconds >= first.seconds);
}

TEST_CASE("bad grids are refused with their place", "[reproduce][unit]") {
  const auto [pointer, value, place, what] =
      GENERATE(table<std::string, std::string, std::string, std::string>({
          {"/over/a2a", "[]", "g#/over/a2a", "empty"},
          {"/over/r", "[1]", "g#/over/r", "degree"},
          {"/let/x", "\"y\"", "g#/let/x", "uses itself"},
          {"/let/ag", "\"1\"", "g#/let/ag", "twice"},
          {"/degrees", "[]", "g#/degrees", "no pipelining"},
          {"/degree", "\"best\"", "g#/degree", "own"},
          {"/passes", "[]", "g#/passes", "empty"},
          {"/passes/0/phases/0/seconds", "\"a2b\"", "g#/passes/0/phases/0/seconds", "a2b"},
          {"/passes/0/phases/0/second", "1", "g#/passes/0/phases/0/second", "unknown key"},
          {"/passes/0/phases/0/kernel", "{\"op\": \"conv\"}", "/phases/0/kernel/op", "gemm"},
          {"/passes/0/phases/5/background/after", "\"later\"", "/background/after", "earlier"},
          {"/contention", "{\"streams\": [\"nvlink\"], \"capacity\": 1}", "g#/contention/streams",
           "inter, intra, compute"},
      }));
  CAPTURE(pointer, value);
  const Json document = edited(pointer, Json::parse(value));
  CHECK_THROWS_AS(parse_layer_grid(document, "g#"), ConfigError);
  CHECK_THROWS_WITH(parse_layer_grid(document, "g#"),
                    Catch::Contains(place) && Catch::Contains(what));
}

TEST_CASE("a phase that takes less than no time is refused", "[reproduce][unit]") {
  CHECK_THROWS_WITH(event_time({.a2a = -1}, 1), Catch::Contains("dispatch"));
}
