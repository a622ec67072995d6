#include "workloads/generator/profile_fit.h"

#include <catch2/catch.hpp>

#include "sim/core/error.h"
#include "trace_support.h"
#include "workloads/generator/generator.h"
#include "workloads/trace/trace_tools.h"

namespace moesim {
namespace {

using namespace moesim::test;
using Catch::Matchers::Contains;

// Tokens matter more than in deepseek-v2-lite, requests less, and loads are uneven.
GeneratorProfile truth() {
  GeneratorProfile profile;
  profile.name = "truth";
  profile.router = {.layers = 3, .experts = 32, .top_k = 4};
  profile.first_layer = 1;
  profile.dimensions = 20;
  profile.amplitudes = {.token = {0.9, 0.8, 0.7},
                        .request = {0.2, 0.3, 0.4},
                        .context = {0.3, 0.3, 0.3},
                        .fast = {0.3, 0.3, 0.3},
                        .own = {0.1, 0.1, 0.1}};
  profile.context_correlation = 0.9;
  profile.fast_correlation = 0.4;
  profile.layer_correlation = 0.92;
  profile.turn = 1.4;
  profile.router_noise = 0.06;
  profile.load_cv = {0.4, 0.3, 0.2};
  profile.load_max_over_mean = {2.2, 1.8, 1.5};
  profile.vocabulary = 400;
  profile.zipf_exponent = 1.0;
  profile.zipf_shift = 1.0;
  profile.length_probability = {0, 1};
  profile.length_tokens = {40, 160};
  profile.model_seed = 11;
  return profile;
}

RoutedTokens tokens_of(const GeneratorProfile& profile, std::int64_t count) {
  const RoutingGenerator generator(profile, 1);
  return generator.route(generator.draw_requests(count, 5), 5, 1);
}

ProfileFitOptions small_fit(int threads) {
  return {.rounds = 8, .calibration_sample = 2048, .seed = 1, .threads = threads};
}

}  // namespace

TEST_CASE("a fit finds what a trace was drawn from", "[workloads][property][large]") {
  const RoutedTokens data = tokens_of(calibrated(truth(), 4096, 1), 8000);
  TraceMetadata metadata;
  metadata.first_layer = 1;
  const GeneratorProfile start = start_of_fit(data, metadata);
  CHECK(start.router == truth().router);
  CHECK(start.first_layer == 1);
  CHECK(start.vocabulary > 300);
  CHECK(start.vocabulary <= 400);
  CHECK(start.length_tokens.front() >= 2);
  CHECK(start.length_tokens[3] == Approx(80).epsilon(0.15));  // the median, in logarithms
  std::vector<FitMisses> rounds;
  const GeneratorProfile fitted =
      fit_profile(data, start, small_fit(1), [&](int round, const FitMisses& misses) {
        CHECK(round == static_cast<int>(rounds.size()));
        rounds.push_back(misses);
      });
  REQUIRE(rounds.size() == 8);
  CHECK(rounds.back().token_recall < 0.5 * rounds.front().token_recall);
  CHECK(rounds.back().token_recall < 0.04);
  CHECK(rounds.back().overlap_far < 0.03);
  CHECK(rounds.back().overlap_near < 0.03);
  for (std::size_t l = 0; l < 3; ++l) {
    CAPTURE(l);
    CHECK(fitted.load_cv[l] == Approx(truth().load_cv[l]).epsilon(0.2));
    CHECK(fitted.load_max_over_mean[l] == Approx(truth().load_max_over_mean[l]).epsilon(0.15));
  }
  CHECK(fitted.amplitudes.token[0] > fitted.amplitudes.token[2]);
  CHECK(fitted.amplitudes.request[0] < fitted.amplitudes.request[2]);
  const GeneratorProfile threaded = fit_profile(data, start, small_fit(2));
  CHECK(profile_text(threaded) == profile_text(fitted));
}

TEST_CASE("a fit refuses what it cannot be made from", "[workloads][unit]") {
  const TempFolder folder;
  const std::string path = folder.file("short.moetrace");
  const RoutedTokens few = random_tokens(2, 8, 2, 60, 1);
  TraceWriter writer(path, {.layers = 2, .experts = 8, .top_k = 2, .ranked = few.ranked}, {});
  writer.append(few);
  writer.finish();
  TraceFitRequest request;
  request.name = "x";
  request.date = "2026";
  request.options = small_fit(1);
  CHECK_THROWS_WITH(fit_trace(path, request), Contains("at least 4 requests"));
  CHECK_THROWS_AS(fit_trace(folder.file("none.moetrace"), request), ConfigError);
  const std::string text = profile_text(truth());
  write_bytes(folder.file("other.json"), text);
  TraceFitRequest other = request;
  other.start = folder.file("other.json");
  CHECK_THROWS_AS(fit_trace(path, other), ConfigError);
}

}  // namespace moesim
