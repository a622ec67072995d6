#include <catch2/catch.hpp>
#include <cstdio>
#include <thread>

#include "expected_comparison.h"
#include "sim/core/error.h"
#include "trace_support.h"

namespace moesim {
namespace {

using namespace moesim::test;
using Catch::Matchers::Contains;

const RouterSpec k_v3{.layers = 58, .experts = 256, .top_k = 8, .groups = 8, .top_groups = 4};
const RouterSpec k_lite{.layers = 26, .experts = 64, .top_k = 6};
const RouterSpec k_mixtral{.layers = 32, .experts = 8, .top_k = 2};
const RouterSpec k_small_grouped{
    .layers = 40, .experts = 64, .top_k = 4, .groups = 4, .top_groups = 2};

std::unique_ptr<RoutingSource> source_of(const std::string& spec, const RouterSpec& router) {
  return make_routing_source(spec, router, {k_profiles}, "w");
}

// Uneven, idle, and with prompts of several lengths.
std::vector<SourceTokens> uneven(std::int64_t scale) {
  return {{{3 * scale, 1}}, {}, {{scale, 1}, {1, 40}}, {{scale, 4}}, {{7 * scale, 1}}};
}

struct Case {
  std::string spec;
  RouterSpec router;
};

}  // namespace

// 2 * scale = 2 (few tokens), 40 (dealt in turns), 20,000 (dealt as shares).
TEST_CASE("expected counts conserve every source's picks", "[workloads][property][large]") {
  const auto& [spec, router] = GENERATE(values<Case>({{"balanced", k_small_grouped},
                                                      {"power_law:0.8", k_small_grouped},
                                                      {"profile:mixtral-8x7b", k_mixtral},
                                                      {"profile:deepseek-v2-lite", k_lite}}));
  const auto source = source_of(spec, router);
  const auto statistics = source->statistics(2);
  CHECK(source->statistics(1) == statistics);
  const std::int64_t scale = GENERATE(1, 20, 10000);
  const bool even = GENERATE(false, true);
  const std::vector<SourceTokens> same(6, {{scale, 1}, {1, 7}});
  const auto sources = even ? same : uneven(scale);
  const ExpectedBatch batch(*statistics, sources);
  CAPTURE(spec, scale, even, batch.few());
  std::vector<std::int32_t> count;
  for (int l = 0; l < router.layers; l += 7) {
    batch.counts(l, count);
    REQUIRE(count.size() == static_cast<std::size_t>(router.experts) * sources.size());
    for (std::size_t s = 0; s < sources.size(); ++s) {
      std::int64_t sum = 0;
      for (std::size_t e = 0; e < static_cast<std::size_t>(router.experts); ++e) {
        const std::int32_t picks = count[e * sources.size() + s];
        REQUIRE(picks >= 0);
        REQUIRE(picks <= batch.tokens_of(static_cast<int>(s)));  // distinct experts of a token
        sum += picks;
      }
      REQUIRE(sum == batch.tokens_of(static_cast<int>(s)) * router.top_k);
    }
    auto again = count;
    std::thread([&] { batch.counts(l, again); }).join();
    REQUIRE(again == count);
  }
}

TEST_CASE("statistics are the same for any number of threads", "[workloads][unit]") {
  const auto one = source_of("profile:deepseek-v2-lite", k_lite)->statistics(1);
  const auto four = source_of("profile:deepseek-v2-lite", k_lite)->statistics(4);
  const std::vector<SourceTokens> sources(8, {{100, 1}, {1, 300}});
  std::vector<std::int32_t> a;
  std::vector<std::int32_t> b;
  for (int l = 0; l < k_lite.layers; ++l) {
    ExpectedBatch(*one, sources).counts(l, a);
    ExpectedBatch(*four, sources).counts(l, b);
    REQUIRE(a == b);
  }
}

TEST_CASE("few tokens have the picks of reference tokens", "[workloads][unit]") {
  const auto statistics = source_of("profile:deepseek-v2-lite", k_lite)->statistics(2);
  const std::vector<SourceTokens> sources = {{{1, 1}}, {{2, 5}}};
  const ExpectedBatch batch(*statistics, sources);
  REQUIRE(batch.few());
  const auto picks = batch.picks(3);
  REQUIRE(picks.size() == 11 * 6);
  std::vector<std::int32_t> count;
  batch.counts(3, count);
  for (std::size_t t = 0; t < 11; ++t) {
    std::set<int> experts;
    for (std::size_t k = 0; k < 6; ++k) {
      experts.insert(picks[t * 6 + k]);
    }
    REQUIRE(experts.size() == 6);
  }
  for (std::size_t k = 0; k < 6; ++k) {
    CHECK(count[picks[k] * 2U] == 1);
  }
  CHECK(batch.picks(3) != batch.picks(4));
}

TEST_CASE("reach is what counting the reference tokens gives", "[workloads][unit]") {
  const auto statistics = source_of("profile:deepseek-v3", k_v3)->statistics(2);
  auto to = contiguous(256, 32);
  to[5] = -1;  // costs nothing
  const auto all = statistics->reach(9, to, 32);
  std::vector<double> picks(32);
  std::vector<double> tokens(32);
  const auto ids = statistics->reference_picks(9);
  const int count = statistics->reference_tokens();
  for (int t = 0; t < count; ++t) {
    std::set<int> reached;
    for (const auto id : ids.subspan(static_cast<std::size_t>(t) * 8, 8)) {
      if (to[id] >= 0) {
        picks[static_cast<std::size_t>(to[id])] += 1.0 / count;
        reached.insert(to[id]);
      }
    }
    for (const int d : reached) {
      tokens[static_cast<std::size_t>(d)] += 1.0 / count;
    }
  }
  for (std::size_t d = 0; d < 32; ++d) {
    CHECK(all.picks[d] == Approx(picks[d]));
    CHECK(all.tokens[d] == Approx(tokens[d]));
  }
  double parts = 0.0;
  for (int part = 0; part < 4; ++part) {
    parts += statistics->reach(9, to, 32, part, 4).tokens[3] / 4.0;
  }
  CHECK(parts == Approx(tokens[3]));
}

// The bounds are the sampling errors of one realisation of these many layers and of the drawn mean,
// doubled; README.md has the table.
TEST_CASE("expected routing is like drawn routing in the mean", "[workloads][property][large]") {
  const auto source = source_of("profile:deepseek-v3", k_v3);
  const auto statistics = source->statistics(2);
  const auto tokens = GENERATE(std::int64_t{1}, std::int64_t{8}, std::int64_t{64});
  const BatchShape shape{.ranks = 32, .tokens_per_rank = tokens, .context = 1000, .threads = 2};
  const auto drawn = drawn_figures(*source, shape, tokens == 64 ? 5 : 20);
  const auto expected = expected_figures(*statistics, shape);
  CAPTURE(tokens);
  CHECK(expected.busiest_rank == Approx(drawn.busiest_rank).epsilon(0.025));
  CHECK(expected.busiest_expert == Approx(drawn.busiest_expert).epsilon(0.05));
  CHECK(expected.touched == Approx(drawn.touched).epsilon(0.01));
  CHECK(expected.distinct_ranks == Approx(drawn.distinct_ranks).epsilon(0.01));
  CHECK(expected.distinct_nodes == Approx(drawn.distinct_nodes).epsilon(0.01));
}

TEST_CASE("tokens of one prompt make expected loads less even", "[workloads][property][large]") {
  const auto source = source_of("profile:deepseek-v2-lite", k_lite);
  const auto statistics = source->statistics(2);
  BatchShape shape{.ranks = 8, .tokens_per_rank = 512, .context = 1000, .threads = 2};
  const auto apart = expected_figures(*statistics, shape);
  shape.phase = TokenPhase::prefill;
  shape.tokens_per_request = 256;
  const auto together = expected_figures(*statistics, shape);
  const auto drawn = drawn_figures(*source, shape, 8);
  CHECK(together.busiest_rank > 1.01 * apart.busiest_rank);
  CHECK(together.busiest_rank == Approx(drawn.busiest_rank).epsilon(0.03));
  CHECK(together.busiest_pair > 1.05 * apart.busiest_pair);
  CHECK(statistics->overdispersion(5, 1) == Approx(1.0));
  CHECK(statistics->overdispersion(5, 256) > 2.0 * statistics->overdispersion(5, 4));
}

TEST_CASE("the busiest expert differs from layer to layer, popular ones stay popular",
          "[workloads][unit]") {
  // Equal shares: who is busiest is chance, which is the layer's.
  const auto even = source_of("power_law:0", k_lite)->statistics(2);
  const std::vector<SourceTokens> sources(8, {{128, 1}});
  const ExpectedBatch batch(*even, sources);
  std::set<std::ptrdiff_t> busiest;
  std::vector<std::int32_t> count;
  for (int l = 0; l < k_lite.layers; ++l) {
    batch.counts(l, count);
    std::vector<std::int32_t> loads(64);
    for (std::size_t i = 0; i < count.size(); ++i) {
      loads[i / 8] += count[i];
    }
    busiest.insert(std::ranges::max_element(loads) - loads.begin());
  }
  CHECK(busiest.size() >= 15);  // 26 draws of 64 hold 21 different ones in the mean
  const auto skewed = source_of("power_law:1", k_lite)->statistics(2);
  const ExpectedBatch steep(*skewed, sources);
  for (int l = 0; l < k_lite.layers; ++l) {
    steep.counts(l, count);
    const auto shares = skewed->shares(l);
    const auto hot = std::ranges::max_element(shares) - shares.begin();
    std::vector<std::int32_t> loads(64);
    for (std::size_t i = 0; i < count.size(); ++i) {
      loads[i / 8] += count[i];
    }
    CHECK(std::ranges::max_element(loads) - loads.begin() == hot);
  }
}

// Draws without replacement have no closed form, and drawing among drawn groups is approximated
// further; 65,536 drawn tokens know shares to 1 to 2 %.
TEST_CASE("shares of independent choices are those of drawn tokens", "[workloads][property]") {
  auto router = GENERATE(k_lite, k_small_grouped);
  router.layers = 1;
  const auto source = source_of("power_law:0.7", router);
  const auto statistics = source->statistics(2);
  const auto tokens =
      source->batch({.ranks = 1, .tokens_per_rank = 65536, .seed = 3, .threads = 2});
  std::vector<double> seen(static_cast<std::size_t>(router.experts));
  for (const auto id : tokens.layer(0)) {
    seen[id] += 1.0 / static_cast<double>(tokens.layer(0).size());
  }
  const auto shares = statistics->shares(0);
  CHECK(std::accumulate(shares.begin(), shares.end(), 0.0) == Approx(1.0));
  for (std::size_t e = 0; e < seen.size(); ++e) {
    CAPTURE(router.groups, e);
    CHECK(shares[e] == Approx(seen[e]).epsilon(router.groups > 1 ? 0.12 : 0.07));
  }
}

TEST_CASE("a trace gives expected routing", "[workloads][unit]") {
  const TempFolder folder;
  // 30 requests of 40 tokens that share nothing: as if drawn independently.
  auto tokens = random_tokens(3, 64, 6, 1200, 8);
  for (std::size_t t = 0; t < 1200; ++t) {
    tokens.request[t] = static_cast<std::uint32_t>(t / 40);
    tokens.position[t] = static_cast<std::uint32_t>(t % 40);
    tokens.phase[t] = TokenPhase::prefill;
  }
  write_tokens(folder.file("t.moetrace"), tokens);
  const RouterSpec router{.layers = 3, .experts = 64, .top_k = 6};
  const auto source = source_of(folder.file("t.moetrace"), router);
  const auto statistics = source->statistics(2);
  CHECK(statistics->reference_tokens() == 30 * 4);
  double share = 0.0;
  for (const auto id : tokens.layer(1)) {
    share += id == 7 ? 1.0 / (1200.0 * 6.0) : 0.0;
  }
  CHECK(statistics->shares(1)[7] == Approx(share));

  auto few = random_tokens(3, 64, 6, 40, 8);
  std::ranges::fill(few.request, 0U);
  std::iota(few.position.begin(), few.position.end(), 0U);
  write_tokens(folder.file("few.moetrace"), few);
  CHECK_THROWS_WITH(source_of(folder.file("few.moetrace"), router)->statistics(1),
                    Contains("too little") && Contains("64"));
  for (std::size_t t = 0; t < 40; ++t) {
    few.request[t] = static_cast<std::uint32_t>(t);
    few.position[t] = 0;
  }
  write_tokens(folder.file("short.moetrace"), few);
  CHECK_THROWS_WITH(source_of(folder.file("short.moetrace"), router)->statistics(1),
                    Contains("short.moetrace") && Contains("draw tokens instead"));
}

TEST_CASE("few experts in turns are known exactly", "[workloads][unit]") {
  const RouterSpec mixtral{.layers = 2, .experts = 8, .top_k = 2};
  const auto statistics = source_of("balanced", mixtral)->statistics(1);
  const std::vector<SourceTokens> sources(4, {{{16, 1}}});
  const ExpectedBatch batch(*statistics, sources);
  std::vector<std::int32_t> count;
  batch.counts(0, count);
  CHECK(std::ranges::all_of(count, [](auto picks) { return picks == 4; }));  // 16 * 2 / 8
}

TEST_CASE("batches without sense have no expectation", "[workloads][unit]") {
  const auto statistics = source_of("balanced", k_lite)->statistics(1);
  const auto refused = [&](const SourceSequences& part) {
    const std::vector<SourceTokens> sources = {{part}};
    CHECK_THROWS_AS(ExpectedBatch(*statistics, sources), ConfigError);
  };
  refused({.sequences = -1, .tokens = 1});
  refused({.sequences = 1, .tokens = 0});
  refused({.sequences = std::int64_t{1} << 40, .tokens = 1});
  refused({.sequences = std::int64_t{1} << 20, .tokens = std::int64_t{1} << 20});
  const std::vector<SourceTokens> idle(3);
  const ExpectedBatch nothing(*statistics, idle);
  std::vector<std::int32_t> count;
  nothing.counts(0, count);
  CHECK(std::ranges::all_of(count, [](auto picks) { return picks == 0; }));
}

// README.md's table: moesim_test_workloads "[.bias]".
TEST_CASE("the bias of expected routing", "[.bias]") {
  const auto& [spec, router] = GENERATE(values<Case>({{"profile:deepseek-v3", k_v3},
                                                      {"profile:deepseek-v2-lite", k_lite},
                                                      {"profile:mixtral-8x7b", k_mixtral},
                                                      {"power_law:0.5", k_v3}}));
  const auto source = source_of(spec, router);
  const auto statistics = source->statistics(2);
  for (const int ranks : {8, 32, 256}) {
    for (const std::int64_t tokens : {1, 8, 64, 128, 1024}) {
      for (const std::int64_t length : {1, 256}) {
        constexpr std::int64_t most = 33000;
        if (ranks > router.experts || ranks * tokens > most || (length > 1 && tokens < 1024)) {
          continue;
        }
        const BatchShape shape{.ranks = ranks,
                               .tokens_per_rank = tokens,
                               .tokens_per_request = length,
                               .context = 1000,
                               .phase = length > 1 ? TokenPhase::prefill : TokenPhase::decode,
                               .threads = 2};
        const auto drawn = drawn_figures(*source, shape, 20);
        const auto expected = expected_figures(*statistics, shape);
        const auto column = [](double from, double to) {
          std::printf(" %.3f %+.1f %% |", from, 100.0 * (to / from - 1.0));
        };
        std::printf("| `%s` | %d | %ld x %ld |", spec.c_str(), ranks,
                    static_cast<long>(tokens / length), static_cast<long>(length));
        column(drawn.busiest_rank, expected.busiest_rank);
        column(drawn.busiest_expert, expected.busiest_expert);
        column(drawn.touched, expected.touched);
        column(drawn.busiest_pair, expected.busiest_pair);
        column(drawn.distinct_ranks, expected.distinct_ranks);
        column(drawn.distinct_nodes, expected.distinct_nodes);
        std::printf("\n");
        std::fflush(stdout);
      }
    }
  }
}

}  // namespace moesim
