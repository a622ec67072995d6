#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <set>

#include "sim/core/error.h"
#include "trace_support.h"
#include "workloads/sources/routing.h"
#include "workloads/trace/trace_tools.h"

namespace moesim {
namespace {

using namespace moesim::test;
using Catch::Matchers::Contains;

const RouterSpec k_plain{.layers = 3, .experts = 64, .top_k = 6};
const RouterSpec k_lite{.layers = 26, .experts = 64, .top_k = 6};
const RouterSpec k_grouped{.layers = 2, .experts = 256, .top_k = 8, .groups = 8, .top_groups = 4};
const RouterSpec k_moge{
    .layers = 2, .experts = 64, .top_k = 8, .groups = 8, .top_groups = 8, .per_group_k = 1};

std::vector<int> loads_of(const RoutedTokens& tokens, int layer) {
  std::vector<int> loads(static_cast<std::size_t>(tokens.experts));
  for (const auto id : tokens.layer(layer)) {
    ++loads[id];
  }
  return loads;
}

void check_rows(const RoutedTokens& tokens, const RouterSpec& router) {
  const auto k = static_cast<std::size_t>(router.top_k);
  const int size = router.experts / router.groups;
  for (std::size_t row = 0; row < tokens.ids.size() / k; ++row) {
    const auto ids = std::span(tokens.ids).subspan(row * k, k);
    std::set<int> groups;
    for (const auto id : ids) {
      groups.insert(id / size);
    }
    REQUIRE(std::set<int>(ids.begin(), ids.end()).size() == k);
    REQUIRE(std::ranges::max(ids) < router.experts);
    if (router.per_group_k > 0) {
      REQUIRE(groups.size() == static_cast<std::size_t>(router.groups));
    } else if (router.groups > 1) {
      REQUIRE(groups.size() <= static_cast<std::size_t>(router.top_groups));
    }
  }
}

// 30 requests of 40 tokens from position 0 on.
void write_requests(const std::string& path) {
  auto tokens = random_tokens(3, 64, 6, 1200, 8);
  for (std::size_t t = 0; t < 1200; ++t) {
    tokens.request[t] = static_cast<std::uint32_t>(t / 40);
    tokens.position[t] = static_cast<std::uint32_t>(t % 40);
    tokens.phase[t] = TokenPhase::prefill;
    tokens.token_id[t] = static_cast<std::uint32_t>(t);
  }
  write_tokens(path, tokens);
}

}  // namespace

TEST_CASE("every source keeps the router's rules and its shape", "[workloads][property]") {
  const std::string spec = GENERATE("balanced", "power_law:0", "power_law:0.6", "power_law:4");
  const auto router = GENERATE(k_plain, k_grouped, k_moge);
  const auto source = make_routing_source(spec, router, {}, "w");
  BatchShape shape{.ranks = 4,
                   .tokens_per_rank = 128,
                   .tokens_per_request = 50,
                   .context = 77,
                   .phase = GENERATE(TokenPhase::decode, TokenPhase::prefill),
                   .seed = 3};
  const auto tokens = source->batch(shape);
  REQUIRE(tokens.tokens() == 512);
  CAPTURE(spec, router.groups);
  check_rows(tokens, router);
  if (shape.phase == TokenPhase::decode) {
    CHECK(std::set<std::uint32_t>(tokens.request.begin(), tokens.request.end()).size() == 512);
    CHECK(tokens.position[9] == 77);
  } else {  // 50 + 50 + 28 tokens on each rank
    CHECK(std::set<std::uint32_t>(tokens.request.begin(), tokens.request.end()).size() == 12);
    CHECK(tokens.position[128 + 49] == 49);
    CHECK(tokens.position[128 + 50] == 0);
  }
  shape.threads = 3;
  CHECK(same_tokens(tokens, source->batch(shape)));
  CHECK_FALSE(source->describe().empty());
}

// Runs of four requests, long and short, decode and prefill, whole and sampled.
std::vector<TokenRun> some_runs() {
  return {{.request = 3, .first_position = 0, .count = 40, .kept = {}},
          {.request = 40, .first_position = 70, .phase = TokenPhase::decode, .kept = {}},
          {.request = 3, .first_position = 40, .count = 30, .kept = {}},
          {.request = 9, .first_position = 5, .count = 9, .kept = {2, 8}}};
}

TEST_CASE("a token is known by its request and position", "[workloads][property]") {
  const TempFolder folder;
  const std::string trace = folder.file("t.moetrace");
  write_requests(trace);
  const std::string profiles = std::string(MOESIM_SOURCE_DIR) + "/workloads/profiles";
  const auto [spec, router] =
      GENERATE(table<std::string, RouterSpec>({{"power_law:0.6", k_plain},
                                               {"power_law:0.6", k_grouped},
                                               {"profile:deepseek-v2-lite", k_lite},
                                               {"trace", k_plain}}));
  CAPTURE(spec, router.groups);
  const auto source = make_routing_source(spec == "trace" ? trace : spec, router, {profiles}, "w");
  const auto runs = some_runs();
  const auto together = source->route(runs, 7, 1);
  REQUIRE(together.tokens() == 40 + 1 + 30 + 2);
  check_rows(together, router);
  CHECK(together.request[40] == 40);
  CHECK(together.position[40] == 70);
  CHECK(together.phase[40] == TokenPhase::decode);
  CHECK(together.position[71] == 7);
  CHECK(same_tokens(together, source->route(runs, 7, 3)));
  CHECK(together.ids != source->route(runs, 8, 1).ids);

  // One prompt in one run or in two; one token of it alone.
  const auto k = static_cast<std::size_t>(router.top_k);
  const TokenRun whole{.request = 3, .first_position = 0, .count = 70, .kept = {}};
  const auto prompt = source->route(std::span(&whole, 1), 7, 1);
  const TokenRun one{.request = 3, .first_position = 55, .kept = {}};
  const auto alone = source->route(std::span(&one, 1), 7, 1);
  for (int l = 0; l < router.layers; ++l) {
    CHECK(std::ranges::equal(prompt.layer(l).first(40 * k), together.layer(l).first(40 * k)));
    CHECK(std::ranges::equal(prompt.layer(l).subspan(40 * k, 30 * k),
                             together.layer(l).subspan(41 * k, 30 * k)));
    CHECK(std::ranges::equal(alone.layer(l), prompt.layer(l).subspan(55 * k, k)));
  }
}

TEST_CASE("balanced routing deals in the order of the list", "[workloads][unit]") {
  const auto source = make_routing_source("balanced", k_plain, {}, "w");
  const auto tokens = source->route(some_runs(), 7, 2);
  check_rows(tokens, k_plain);
  const auto loads = loads_of(tokens, 1);
  CHECK(std::ranges::max(loads) - std::ranges::min(loads) <= 1);
}

TEST_CASE("runs without sense are refused", "[workloads][unit]") {
  const auto source = make_routing_source(GENERATE("balanced", "power_law:0.6"), k_plain, {}, "w");
  const auto refused = [&](const TokenRun& run) {
    CHECK_THROWS_WITH(source->route(std::span(&run, 1), 0, 1), Contains("request 5"));
  };
  refused({.request = 5, .first_position = 0x7fffffffU, .count = 2, .kept = {}});
  refused({.request = 5, .first_position = 0, .count = 4, .kept = {1, 1}});
  refused({.request = 5, .first_position = 0, .count = 4, .kept = {1, 4}});
  CHECK(source->route({}, 0, 1).tokens() == 0);
}

TEST_CASE("balanced routing is exactly balanced", "[workloads][unit]") {
  const auto router = GENERATE(k_plain, k_grouped, k_moge);
  // 512 tokens x top_k is a multiple of the experts in all three cases.
  const auto tokens =
      make_routing_source("balanced", router, {}, "w")->batch({.ranks = 4, .tokens_per_rank = 128});
  for (int l = 0; l < router.layers; ++l) {
    for (const int load : loads_of(tokens, l)) {
      CHECK(load == 512 * router.top_k / router.experts);
    }
  }
}

TEST_CASE("balanced routing spreads a token over ranks", "[workloads][unit]") {
  // 8 ranks of 8 experts: six choices fall on at least five ranks, not on one or two.
  const auto tokens =
      make_routing_source("balanced", k_plain, {}, "w")->batch({.ranks = 1, .tokens_per_rank = 64});
  for (std::size_t t = 0; t < 64; ++t) {
    std::set<int> ranks;
    for (const auto id : tokens.layer(0).subspan(t * 6, 6)) {
      ranks.insert(id / 8);
    }
    CHECK(ranks.size() >= 5);
  }
}

// First choices follow rank^-1 exactly: 40,000 draws, chi-square with 63 degrees of freedom stays
// below 63 + 5 sqrt(126).
TEST_CASE("power-law popularity is the stated one", "[workloads][unit]") {
  const auto tokens = make_routing_source("power_law:1", k_plain, {}, "w")
                          ->batch({.ranks = 1, .tokens_per_rank = 40000, .seed = 1});
  for (int l = 0; l < 3; ++l) {
    std::vector<double> first(64);
    for (std::size_t t = 0; t < 40000; ++t) {
      first[tokens.layer(l)[t * 6]] += 1.0;
    }
    std::ranges::sort(first, std::greater<>());
    double harmonic = 0.0;
    for (int r = 1; r <= 64; ++r) {
      harmonic += 1.0 / r;
    }
    double chi = 0.0;
    for (int r = 1; r <= 64; ++r) {
      const double expected = 40000.0 / (r * harmonic);
      const double off = first[static_cast<std::size_t>(r - 1)] - expected;
      chi += off * off / expected;
    }
    CHECK(chi < 63.0 + 5.0 * std::sqrt(126.0));
  }
}

TEST_CASE("sub-sampling takes evenly strided tokens of each rank", "[workloads][unit]") {
  const auto source = make_routing_source("balanced", k_plain, {}, "w");
  const BatchShape shape{.ranks = 2,
                         .tokens_per_rank = 100,
                         .tokens_per_request = 30,
                         .phase = TokenPhase::prefill,
                         .sample_tokens_per_rank = 8};
  const auto tokens = source->batch(shape);
  REQUIRE(tokens.tokens() == 16);
  CHECK(tokens.token_weight == 12.5);
  // 0, 12, 25, 37, 50, 62, 75, 87 within prompts of 30.
  CHECK(std::vector<std::uint32_t>(tokens.position.begin(), tokens.position.begin() + 8) ==
        std::vector<std::uint32_t>{0, 12, 25, 7, 20, 2, 15, 27});
  CHECK(tokens.request[8] == 4);
}

TEST_CASE("prefill replay fills the ranks with consecutive tokens", "[workloads][unit]") {
  const TempFolder folder;
  write_requests(folder.file("t.moetrace"));
  const auto source = make_routing_source(folder.file("t.moetrace"), k_plain, {}, "w");
  BatchShape shape{.ranks = 3, .tokens_per_rank = 100, .phase = TokenPhase::prefill, .seed = 4};
  const auto tokens = source->batch(shape);
  CHECK(tokens.position[0] == 0);  // begins with a whole request
  for (std::size_t t = 1; t < 300; ++t) {
    CHECK(tokens.token_id[t] == (tokens.token_id[t - 1] + 1) % 1200);
  }
  const auto whole = TraceFile(folder.file("t.moetrace")).view().all();
  const auto at = tokens.token_id[17];
  CHECK(std::ranges::equal(tokens.layer(2).subspan(17 * 6, 6),
                           whole.layer(2).subspan(at * std::size_t{6}, 6)));
  CHECK(source->warnings(shape).empty());
  shape.tokens_per_rank = 500;
  CHECK(source->batch(shape).tokens() == 1500);
  REQUIRE(source->warnings(shape).size() == 1);
  CHECK_THAT(source->warnings(shape).front(), Contains("1200 tokens and was repeated"));
}

TEST_CASE("decode replay takes one token of each request", "[workloads][property]") {
  const TempFolder folder;
  write_requests(folder.file("t.moetrace"));
  const auto source = make_routing_source(folder.file("t.moetrace"), k_plain, {}, "w");
  BatchShape shape{.ranks = 3,
                   .tokens_per_rank = 10,
                   .seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{10}))};
  const auto once = source->batch(shape);
  CHECK(std::set<std::uint32_t>(once.request.begin(), once.request.end()).size() == 30);
  CHECK(std::ranges::count(once.position, 0U) == 0);
  CHECK(source->warnings(shape).empty());
  // Three rounds: every request three times, and never the same token twice.
  shape.tokens_per_rank = 30;
  const auto more = source->batch(shape);
  std::map<std::uint32_t, int> times;
  for (const auto request : more.request) {
    ++times[request];
  }
  CHECK(std::ranges::all_of(times, [](const auto& entry) { return entry.second == 3; }));
  CHECK(std::set<std::uint32_t>(more.token_id.begin(), more.token_id.end()).size() == 90);
  CHECK_THAT(source->warnings(shape).at(0), Contains("30 requests"));
}

TEST_CASE("a load matrix is drawn from by popularity", "[workloads][unit]") {
  const TempFolder folder;
  LoadTrace trace;
  trace.shape = {.kind = TraceKind::loads, .layers = 1, .experts = 4, .top_k = 1};
  trace.windows = {{.tokens = 10, .counts = {4, 3, 2, 1}, .pairs = {}},
                   {.tokens = 10, .counts = {4, 3, 2, 1}, .pairs = {}}};
  write_load_trace(folder.file("l.moetrace"), trace);
  const auto tokens = make_routing_source(folder.file("l.moetrace"),
                                          {.layers = 1, .experts = 4, .top_k = 1}, {}, "w")
                          ->batch({.ranks = 1, .tokens_per_rank = 10000, .seed = 2});
  const auto loads = loads_of(tokens, 0);
  for (int e = 0; e < 4; ++e) {  // 4 sigma of a binomial
    const double share = 0.1 * (4 - e);
    CHECK(std::abs(loads[static_cast<std::size_t>(e)] - 10000 * share) <
          4.0 * std::sqrt(10000 * share * (1 - share)));
  }
}

TEST_CASE("wrong sources are refused with what would be right", "[workloads][unit]") {
  const TempFolder folder;
  write_requests(folder.file("t.moetrace"));
  const auto error = [&](const std::string& spec, const RouterSpec& router) {
    try {
      make_routing_source(spec, router, {k_profiles}, "s.json#/workload/routing");
    } catch (const ConfigError& caught) {
      return std::string(caught.what());
    }
    return std::string();
  };
  CHECK_THAT(error("balnced", k_plain),
             Contains("s.json#/workload/routing") && Contains("power_law:A"));
  CHECK_THAT(error("power_law:x", k_plain), Contains("0 to 4"));
  CHECK_THAT(error("power_law:-1", k_plain), Contains("0 to 4"));
  CHECK_THAT(error("power_law:nan", k_plain), Contains("0 to 4"));
  CHECK_THAT(error("profile:none", k_plain), Contains("deepseek-v2-lite"));
  CHECK_THAT(error("profile:deepseek-v2-lite", k_grouped),
             Contains("26 layers, top 6 of 64") && Contains("2 layers, top 8 of 256"));
  CHECK_THAT(error(folder.file("t.moetrace"), k_grouped),
             Contains("3 MoE layers with 6 of 64") && Contains("the model needs 2 MoE layers"));
  CHECK_THAT(error(folder.file("none.moetrace"), k_plain), Contains("none.moetrace"));
}

TEST_CASE("batches without sense are refused", "[workloads][unit]") {
  const auto source = make_routing_source("balanced", k_plain, {}, "w");
  const auto shape = GENERATE(
      BatchShape{.ranks = 0, .tokens_per_rank = 1}, BatchShape{.ranks = 1, .tokens_per_rank = -1},
      BatchShape{.ranks = 1, .tokens_per_rank = 1, .tokens_per_request = 0},
      BatchShape{.ranks = 1 << 20, .tokens_per_rank = std::int64_t{1} << 50});
  CHECK_THROWS_AS(source->batch(shape), ConfigError);
}

}  // namespace moesim
