#include <catch2/catch.hpp>
#include <cmath>

#include "trace_support.h"
#include "workloads/statistics/trace_statistics.h"

namespace moesim {
namespace {

using namespace moesim::test;

double value_of(const std::vector<StatisticRow>& rows, const std::string& statistic,
                const std::string& layer, const std::string& parameter) {
  for (const auto& row : rows) {
    if (row.statistic == statistic && row.layer == layer && row.parameter == parameter) {
      return row.value;
    }
  }
  FAIL("no row " << statistic << ", " << layer << ", " << parameter);
  return 0.0;
}

bool has(const std::vector<StatisticRow>& rows, const std::string& statistic) {
  for (const auto& row : rows) {
    if (row.statistic == statistic) {
      return true;
    }
  }
  return false;
}

// One layer, 4 experts, top 1, two requests of 5 tokens whose first (position 0) does not count.
RoutedTokens tiny(std::vector<std::uint16_t> ids) {
  RoutedTokens tokens;
  tokens.layers = 1;
  tokens.experts = 4;
  tokens.top_k = 1;
  tokens.ids = std::move(ids);
  for (std::uint32_t t = 0; t < tokens.ids.size(); ++t) {
    tokens.token_id.push_back(t % 5);
    tokens.request.push_back(t / 5);
    tokens.position.push_back(t % 5);
    tokens.phase.push_back(TokenPhase::prefill);
  }
  return tokens;
}

}  // namespace

TEST_CASE("load statistics by hand", "[workloads][unit]") {
  // Counted: 0 0 0 1 | 0 1 2 3, that is loads 4 2 1 1 of 8: shares .5 .25 .125 .125 around .25.
  const auto rows = token_statistics(tiny({3, 0, 0, 0, 1, 3, 0, 1, 2, 3}), 7);
  CHECK(value_of(rows, "expert_load_max_over_mean", "7", "whole set; BOS excluded") == Approx(2.0));
  // Variance (.0625 + 0 + 2 * .015625) / 4 = .0234375; cv = 4 * sqrt of it.
  CHECK(value_of(rows, "expert_load_cv", "7", "whole set") == Approx(4.0 * std::sqrt(0.0234375)));
  // (1/4 * 3/4 / .0234375 - 1) / 4 = (8 - 1) / 4.
  CHECK(value_of(rows, "dirichlet_alpha_per_expert", "7", "moment fit") == Approx(1.75));
  // Least squares through (ln 1, ln .5), (ln 2, ln .25), (ln 3, ln .125), (ln 4, ln .125) in units
  // of ln 2: x = 0 1 1.58496 2, y = -1 -2 -3 -3; slope = -2.43872/2.25664.
  CHECK(value_of(rows, "zipf_exponent", "7", "rank fit all 4") == Approx(1.08069).epsilon(1e-5));
}

TEST_CASE("overlap by hand", "[workloads][unit]") {
  // Neighbours, both counted: 0-0 0-0 0-1 | 0-1 1-2 2-3: 2 of 6 equal. Lag 2: 0-0 0-1 | none: 1
  // of 4.
  const auto rows = token_statistics(tiny({3, 0, 0, 0, 1, 3, 0, 1, 2, 3}), 1);
  CHECK(value_of(rows, "token_expert_overlap", "1", "lag 1") == Approx(2.0 / 6.0));
  CHECK(value_of(rows, "token_expert_overlap", "mean of 1", "lag 2") == Approx(1.0 / 4.0));
  CHECK_FALSE(has(rows, "interlayer_affinity"));
  CHECK_FALSE(has(rows, "batch_load_max_over_mean"));  // fewer than 16 tokens
}

TEST_CASE("affinity of layers that copy each other is total", "[workloads][unit]") {
  // Layer 1 = layer 0, top 1 of 4, equal loads: knowing one expert tells the other, 2 bits.
  auto tokens = tiny({0, 0, 1, 2, 3, 0, 3, 2, 1, 0});
  tokens.layers = 2;
  const auto copy = tokens.ids;
  tokens.ids.insert(tokens.ids.end(), copy.begin(), copy.end());
  const auto rows = token_statistics(tokens, 0);
  CHECK(value_of(rows, "interlayer_affinity", "mean", "distance 1; top-1 mass") == Approx(1.0));
  CHECK(value_of(rows, "interlayer_affinity", "mean", "distance 1; mutual information bits") ==
        Approx(2.0));
  CHECK(value_of(rows, "interlayer_affinity", "mean", "distance 1; marginal top-1 mass") ==
        Approx(0.25));
}

TEST_CASE("cache hits by hand", "[workloads][unit]") {
  // One request of 100 counted tokens that walks 0 1 2 3 0 1 2 3 ..: a cache of 3 (48/64 of 4)
  // always has just dropped the next expert, as has any smaller one. 0 0 1 1 2 2 ... hits every
  // other time.
  RoutedTokens tokens;
  tokens.layers = 1;
  tokens.experts = 4;
  tokens.top_k = 1;
  const std::size_t stay = GENERATE(std::size_t{1}, std::size_t{2});
  for (std::uint32_t t = 0; t < 101; ++t) {
    tokens.ids.push_back(t == 0 ? 0 : static_cast<std::uint16_t>((t - 1) / stay % 4));
    tokens.token_id.push_back(t);
    tokens.request.push_back(0);
    tokens.position.push_back(t);
    tokens.phase.push_back(TokenPhase::prefill);
  }
  const auto rows = token_statistics(tokens, 0);
  CHECK(value_of(rows, "expert_cache_hit_rate", "every 4th layer",
                 "LRU per layer; 3 of 4 experts; reset per request; token order") ==
        Approx(stay == 1 ? 0.0 : 0.5));
}

// Uniform random routing: overlap top_k / experts, no information between layers, batches as the
// multinomial says. 4 sigma bounds.
TEST_CASE("statistics of random routing are those of chance", "[workloads][property][large]") {
  const auto tokens = random_tokens(4, 16, 2, 20000, GENERATE(1U, 2U, 3U));
  const auto rows = token_statistics(tokens, 0, 1, 2);
  CHECK(value_of(rows, "token_expert_overlap", "mean of 4", "random token pair") ==
        Approx(2.0 / 16.0).margin(0.004));
  CHECK(value_of(rows, "token_expert_overlap", "mean of 4", "lag 4") ==
        Approx(2.0 / 16.0).margin(0.004));
  // Bias of the estimate is about (E - 1)^2 / (2 N ln 2) = 0.002 bit with N = 80,000.
  CHECK(value_of(rows, "interlayer_affinity", "mean", "distance 1; mutual information bits") <
        0.005);
  CHECK(value_of(rows, "next_layer_prediction_recall", "mean",
                 "naive Bayes on expert ids; distance 2; top 2") ==
        Approx(2.0 / 16.0).margin(0.02));
  // 16384 tokens: 2,048 per expert, deviations of 2 %: the largest of 16 is near 1.04.
  CHECK(value_of(rows, "batch_load_max_over_mean", "mean of 4", "16384 tokens drawn at random") ==
        Approx(1.035).margin(0.02));
  CHECK(value_of(rows, "batch_load_max_over_mean", "mean of 4", "16 consecutive tokens") ==
        Approx(value_of(rows, "batch_load_max_over_mean", "mean of 4", "16 tokens drawn at random"))
            .epsilon(0.04));
}

TEST_CASE("statistics do not depend on threads and follow the seed", "[workloads][unit]") {
  const auto tokens = random_tokens(5, 70, 3, 3000, 4);
  const auto one = token_statistics(tokens, 0, 9, 1);
  const auto three = token_statistics(tokens, 0, 9, 3);
  REQUIRE(one.size() == three.size());
  for (std::size_t i = 0; i < one.size(); ++i) {
    CHECK(one[i].parameter == three[i].parameter);
    CHECK(one[i].value == three[i].value);
    CHECK(std::isfinite(one[i].value));
  }
  const auto table = imbalance_by_batch(one);
  REQUIRE(table.size() == 4);  // 16, 64, 256, 1024 of fewer than 3,000 tokens
  CHECK(table[0].tokens == 16);
  CHECK(table[0].consecutive > table[3].consecutive);
  CHECK(table[2].random > 1.0);
}

TEST_CASE("degenerate traces give fewer rows, never bad numbers", "[workloads][property]") {
  const std::size_t count =
      GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{17});
  auto tokens = random_tokens(GENERATE(1, 3), GENERATE(1, 5), 1, count, 6);
  for (const auto& row : token_statistics(tokens, 0)) {
    CAPTURE(row.statistic, row.parameter, count);
    CHECK(std::isfinite(row.value));
  }
}

TEST_CASE("load matrices have load statistics and drift", "[workloads][unit]") {
  LoadTrace trace;
  trace.shape = {.kind = TraceKind::loads, .layers = 1, .experts = 2, .top_k = 1};
  trace.metadata.first_layer = 3;
  trace.windows = {{.tokens = 4, .counts = {4, 0}, .pairs = {}},
                   {.tokens = 4, .counts = {2, 2}, .pairs = {}}};
  const auto rows = load_statistics(trace);
  CHECK(value_of(rows, "expert_load_max_over_mean", "3", "whole set; BOS excluded") == Approx(1.5));
  // Sum .75 .25; windows 1 0 and .5 .5 differ from it by .25 each.
  CHECK(value_of(rows, "window_load_tv_distance", "mean of 1", "windows vs their sum") ==
        Approx(0.25));
}

}  // namespace moesim
