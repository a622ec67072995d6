// Routing of models that nobody traced.
#include "workloads/generator/profile_scaled.h"

#include <catch2/catch.hpp>
#include <numeric>

#include "sim/core/error.h"
#include "trace_support.h"
#include "workloads/sources/expected_routing.h"
#include "workloads/sources/routing.h"

namespace moesim {

using namespace moesim::test;
using Catch::Matchers::Contains;

namespace {

GeneratorProfile base() { return load_profile("deepseek-v2-lite", {k_profiles}, "test"); }

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

TEST_CASE("scaled to its own router a profile keeps its curves", "[workloads][unit]") {
  const GeneratorProfile same = scaled_profile(base(), base().router, "test");
  CHECK(same.load_cv == base().load_cv);
  for (std::size_t l = 0; l < same.load_cv.size(); ++l) {
    CHECK(same.load_max_over_mean[l] == Approx(base().load_max_over_mean[l]));
  }
  CHECK(same.amplitudes.token == base().amplitudes.token);
  CHECK(same.dimensions == base().dimensions);
  CHECK(same.bias_milli.empty());
}

TEST_CASE("scaled loads follow the number of experts", "[workloads][unit]") {
  const auto scaled = [](int layers, int experts, int top_k) {
    return scaled_profile(base(), {.layers = layers, .experts = experts, .top_k = top_k}, "test");
  };
  // Measured: Mixtral-8x7B 0.149.
  CHECK(mean(scaled(32, 8, 2).load_cv) == Approx(0.149).epsilon(0.02));
  CHECK(mean(scaled(60, 256, 8).load_cv) > mean(base().load_cv));
  CHECK(mean(scaled(60, 256, 8).load_max_over_mean) > mean(base().load_max_over_mean));
  for (const double peak : scaled(4, 2, 2).load_max_over_mean) {
    CHECK(peak >= 1.0);
    CHECK(peak <= 1.0 + 1e-12);
  }
  const GeneratorProfile many = scaled(48, 16, 1);
  CHECK(many.amplitudes.token.size() == 48);
  CHECK(many.amplitudes.token.front() == base().amplitudes.token.front());
  CHECK(many.amplitudes.token.back() == Approx(base().amplitudes.token.back()));
  CHECK_THAT(many.source, Contains("no trace of this model"));
}

TEST_CASE("a scaled source serves any router, and says what it is", "[workloads][unit]") {
  const RouterSpec router{.layers = 3, .experts = 16, .top_k = 1};
  const auto source = make_routing_source("scaled:deepseek-v2-lite", router, {k_profiles}, "w");
  CHECK_THAT(source->describe(), Contains("scaled from profile deepseek-v2-lite"));
  REQUIRE(source->warnings({.ranks = 2, .tokens_per_rank = 8}).size() == 1);
  CHECK(source->statistics(1) != nullptr);
  CHECK(source->batch({.ranks = 2, .tokens_per_rank = 64}).ids.size() == 2 * 64 * 3);
  CHECK_THROWS_WITH(make_routing_source("scaled:none", router, {k_profiles}, "w"),
                    Contains("deepseek-v2-lite"));
  CHECK_THROWS_WITH(make_routing_source("scaled:mixtral-8x7b-moetuner", router, {k_profiles}, "w"),
                    Contains("w: profile mixtral-8x7b-moetuner says whose load is which"));
  CHECK_THROWS_WITH(make_routing_source("profile:deepseek-v2-lite", router, {k_profiles}, "w"),
                    Contains("scaled:deepseek-v2-lite"));
}

}  // namespace moesim
