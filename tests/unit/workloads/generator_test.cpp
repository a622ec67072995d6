#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "sim/core/error.h"
#include "sim/core/output_file.h"
#include "trace_support.h"
#include "workloads/generator/generator.h"

namespace moesim {
namespace {

using namespace moesim::test;
using Catch::Matchers::Contains;

GeneratorProfile small_profile(RouterSpec router) {
  GeneratorProfile profile;
  profile.name = "small";
  profile.router = router;
  const auto layers = static_cast<std::size_t>(router.layers);
  profile.dimensions = 8;
  const std::vector<double> half(layers, 0.5);
  profile.amplitudes = {.token = half, .request = half, .context = half, .fast = half, .own = half};
  profile.context_correlation = 0.9;
  profile.fast_correlation = 0.3;
  profile.layer_correlation = 0.9;
  profile.turn = 1.0;
  profile.router_noise = 0.1;
  profile.load_cv.assign(layers, 0.3);
  profile.load_max_over_mean.assign(layers, 1.9);
  profile.vocabulary = 500;
  profile.zipf_exponent = 1.0;
  profile.length_probability = {0, 1};
  profile.length_tokens = {20, 60};
  profile.model_seed = 11;
  return profile;
}

const RouterSpec k_plain{.layers = 3, .experts = 32, .top_k = 4};
const RouterSpec k_grouped{.layers = 2, .experts = 64, .top_k = 6, .groups = 8, .top_groups = 3};
const RouterSpec k_moge{
    .layers = 2, .experts = 32, .top_k = 4, .groups = 4, .top_groups = 4, .per_group_k = 1};

// Independent tokens: one of each request.
std::vector<TokenRun> one_of_each(std::uint32_t count) {
  std::vector<TokenRun> runs(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    runs[i] = {
        .request = i, .first_position = 100, .count = 1, .phase = TokenPhase::decode, .kept = {}};
  }
  return runs;
}

double overlap(const RoutedTokens& tokens, std::size_t a, std::size_t b, int layer) {
  const auto k = static_cast<std::size_t>(tokens.top_k);
  const auto first = tokens.layer(layer).subspan(a * k, k);
  const auto second = tokens.layer(layer).subspan(b * k, k);
  return static_cast<double>(std::ranges::count_if(
      first, [&](auto id) { return std::ranges::find(second, id) != second.end(); }));
}

}  // namespace

TEST_CASE("target loads have the profile's variation and maximum", "[workloads][property]") {
  auto profile = small_profile(k_plain);
  profile.model_seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{20}));
  const auto loads = target_loads(profile, 1);
  double sum = 0.0;
  double square = 0.0;
  for (const double load : loads) {
    sum += load;
    square += (load * 32.0 - 1.0) * (load * 32.0 - 1.0) / 32.0;
  }
  CHECK(sum == Approx(1.0));
  CHECK(std::ranges::max(loads) * 32.0 == Approx(1.9));
  // 50 bisections, but clipping makes the last digits jump.
  CHECK(std::sqrt(square) == Approx(0.3).epsilon(1e-3));
}

TEST_CASE("zero-cost experts get their share", "[workloads][unit]") {
  auto profile = small_profile(k_plain);
  profile.zero_experts = 8;
  profile.zero_share = 0.4;
  const auto loads = target_loads(profile, 0);
  CHECK(std::accumulate(loads.end() - 8, loads.end(), 0.0) == Approx(0.4));
}

// A load of n expected selections deviates by sqrt(n), and calibration on a sample of its own adds
// as much; 4 sigma of both, over all experts.
TEST_CASE("calibrated loads are the targets within sampling error",
          "[workloads][property][large]") {
  const auto router = GENERATE(k_plain, k_grouped, k_moge);
  const auto profile = calibrated(small_profile(router), 8192, 2);
  const RoutingGenerator generator(profile, 2);
  constexpr std::uint32_t count = 16384;
  const auto tokens = generator.route(one_of_each(count), 5, 2);
  for (int l = 0; l < router.layers; ++l) {
    const auto target = target_loads(profile, l);
    std::vector<double> loads(target.size());
    for (const auto id : tokens.layer(l)) {
      loads[id] += 1.0;
    }
    for (std::size_t e = 0; e < loads.size(); ++e) {
      const double expected = target[e] * count * router.top_k;
      CAPTURE(router.groups, l, e, expected, loads[e]);
      CHECK(std::abs(loads[e] - expected) < 4.0 * std::sqrt(expected * (1.0 + 2.0)));
    }
  }
}

TEST_CASE("every token's ids are distinct and within its groups", "[workloads][property]") {
  const auto router = GENERATE(k_plain, k_grouped, k_moge);
  const RoutingGenerator generator(calibrated(small_profile(router), 512, 2), 2);
  const auto tokens = generator.route(generator.draw_requests(3000, 3), 3, 2);
  REQUIRE(tokens.tokens() == 3000);
  const auto k = static_cast<std::size_t>(router.top_k);
  const int size = router.experts / router.groups;
  std::set<std::size_t> group_counts;
  for (std::size_t row = 0; row < tokens.ids.size() / k; ++row) {
    const auto ids = std::span(tokens.ids).subspan(row * k, k);
    std::multiset<int> groups;
    for (const auto id : ids) {
      groups.insert(id / size);
    }
    const std::set<int> distinct(groups.begin(), groups.end());
    REQUIRE(std::set<int>(ids.begin(), ids.end()).size() == k);
    REQUIRE(std::ranges::max(ids) < router.experts);
    if (router.per_group_k > 0) {
      REQUIRE(distinct.size() == static_cast<std::size_t>(router.groups));
    } else if (router.top_groups < router.groups) {
      REQUIRE(distinct.size() <= static_cast<std::size_t>(router.top_groups));
    }
    group_counts.insert(distinct.size());
  }
  // The limit of three groups binds: it is reached, so the check above is not empty.
  CHECK((router.groups != 8 || group_counts.contains(3)));
}

TEST_CASE("routing is the same for any number of threads and any selection", "[workloads][unit]") {
  const RoutingGenerator generator(calibrated(small_profile(k_grouped), 512, 1), 1);
  CHECK(calibrated(small_profile(k_grouped), 512, 3).bias_milli == generator.profile().bias_milli);
  const auto runs = generator.draw_requests(1500, 9);
  const auto one = generator.route(runs, 9, 1);
  CHECK(same_tokens(one, generator.route(runs, 9, 4)));
  // Tokens 0, 7, 14, ... of the first run alone are the same as among all.
  auto some = runs.front();
  for (std::uint32_t i = 0; i < some.count; i += 7) {
    some.kept.push_back(i);
  }
  const auto few = generator.route(std::span(&some, 1), 9, 1);
  REQUIRE(few.tokens() == static_cast<std::int64_t>(some.kept.size()));
  const auto k = static_cast<std::size_t>(one.top_k);
  for (std::size_t i = 0; i < some.kept.size(); ++i) {
    CHECK(few.token_id[i] == one.token_id[some.kept[i]]);
    CHECK(std::ranges::equal(few.layer(1).subspan(i * k, k),
                             one.layer(1).subspan(some.kept[i] * k, k)));
  }
}

// What routing was when this was written: a change of these numbers changes every result that uses
// generated routing, and must be meant.
TEST_CASE("generated routing has not moved", "[workloads][golden]") {
  const RoutingGenerator generator(calibrated(small_profile(k_plain), 512, 2), 2);
  const auto runs = generator.draw_requests(1000, 1);
  CHECK(hash_ids(generator.route(runs, 1, 2)) == 0x80247d91fcb96c51ULL);
  CHECK(hash_ids(generator.route(runs, 2, 2)) == 0xc34ded0551ebc042ULL);
}

// Equal amplitudes of token, request, context, fast context and own state: tokens of one request
// share one or more of five equal parts, tokens of different requests none. Chance is top_k /
// experts or a little more (loads are unequal).
TEST_CASE("tokens of one request are more alike than tokens of two", "[workloads][property]") {
  const RoutingGenerator generator(calibrated(small_profile(k_plain), 2048, 2), 2);
  const auto tokens = generator.route(generator.draw_requests(6000, 21), 21, 2);
  double near = 0.0;
  double same_request = 0.0;
  double other_request = 0.0;
  int pairs = 0;
  constexpr std::size_t lag = 15;
  for (std::size_t t = 1; t + 2000 < 6000; ++t) {
    if (tokens.request[t] != tokens.request[t + lag]) {
      continue;
    }
    ++pairs;
    near += overlap(tokens, t, t + 1, 1) / 4.0;
    same_request += overlap(tokens, t, t + lag, 1) / 4.0;
    other_request += overlap(tokens, t, t + 2000, 1) / 4.0;
  }
  REQUIRE(pairs > 1000);
  CHECK(other_request / pairs == Approx(4.0 / 32.0 * 1.09).margin(0.02));  // 1 + cv^2
  CHECK(same_request > 1.3 * other_request);
  CHECK(near > 1.3 * same_request);
}

TEST_CASE("a profile says what is wrong with it", "[workloads][unit]") {
  const TempFolder folder;
  auto profile = calibrated(small_profile(k_plain), 256, 2);
  profile.date = profile.model = profile.source = profile.fit_range = "x";
  const std::string text = profile_text(profile);
  write_text_file(folder.file("small.json"), text);
  const auto back = load_profile("small", {folder.file("")}, "s");
  CHECK(back.bias_milli == profile.bias_milli);
  CHECK(profile_text(back) == text);
  CHECK_THROWS_WITH(load_profile("smal", {folder.file("")}, "a.json#/workload/routing"),
                    Contains("a.json#/workload/routing") && Contains("small"));
  const auto broken = [&](const std::string& from, const std::string& to) {
    auto changed = text;
    const auto at = changed.find(from);
    REQUIRE(at != std::string::npos);
    changed.replace(at, from.size(), to);
    write_text_file(folder.file("broken.json"), changed);
    return folder.file("broken.json");
  };
  CHECK_THROWS_WITH(read_profile(broken("\"turn\"", "\"turm\"")), Contains("#/latent/turm"));
  CHECK_THROWS_WITH(read_profile(broken("\"layers\":3", "\"layers\":4")), Contains("bias_milli"));
  CHECK_THROWS_WITH(read_profile(broken("\"top_k\":4", "\"top_k\":40")), Contains("#/router"));
}

TEST_CASE("loads may be given expert by expert", "[workloads][unit]") {
  const TempFolder folder;
  auto profile = small_profile(k_plain);
  const auto experts = static_cast<std::size_t>(k_plain.experts);
  profile.load_cv.clear();
  profile.load_max_over_mean.clear();
  std::vector<double> shares(experts, 0.6 / static_cast<double>(experts - 1));
  shares[3] = 0.4 / k_plain.top_k;
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (double& share : shares) {
    share /= sum;
  }
  profile.load_shares.assign(static_cast<std::size_t>(k_plain.layers), shares);
  profile.date = profile.model = profile.source = profile.fit_range = "x";
  const std::string text = profile_text(calibrated(profile, 4096, 2));
  write_text_file(folder.file("shares.json"), text);
  const auto back = read_profile(folder.file("shares.json"));
  CHECK(target_loads(back, 1)[3] == Approx(shares[3]).epsilon(1e-4));  // six decimals
  CHECK(profile_text(back) == text);
  auto json = parse_json(text, "text");
  const auto refused = [&](const nlohmann::json& rows) {
    json["load"]["shares"] = rows;
    write_text_file(folder.file("bad.json"), json.dump());
    return folder.file("bad.json");
  };
  CHECK_THROWS_WITH(read_profile(refused({1, 2})), Contains("#/load/shares"));
  CHECK_THROWS_WITH(
      read_profile(refused(std::vector<std::vector<double>>(
          static_cast<std::size_t>(k_plain.layers), std::vector<double>(experts, 0.5)))),
      Contains("#/load/shares/0") && Contains("adding up to 1"));
}

}  // namespace moesim
