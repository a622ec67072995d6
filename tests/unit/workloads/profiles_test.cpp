#include <catch2/catch.hpp>

#include "sim/core/catalog.h"
#include "trace_support.h"
#include "workloads/generator/generator.h"

namespace moesim {

using namespace moesim::test;

TEST_CASE("every shipped profile is calibrated and says where it comes from",
          "[workloads][contract]") {
  const auto names = catalog_names({k_profiles});
  REQUIRE(names.size() >= 6);
  for (const auto& name : names) {
    CAPTURE(name);
    const auto profile = load_profile(name, {k_profiles}, "test");
    CHECK(profile.name == name);
    CHECK_FALSE(profile.source.empty());
    CHECK_FALSE(profile.fit_range.empty());
    CHECK(profile.date.size() == 10);
    CHECK_FALSE(profile.notes.empty());
    CHECK(profile.bias_milli.size() == static_cast<std::size_t>(profile.router.layers));
  }
}

// Within 5 sigma of sampling (this sample's and half as much for the calibration's), first and last
// layer: the stored bias belongs to the stored parameters.
TEST_CASE("every shipped profile gives the loads it promises", "[workloads][contract][large]") {
  for (const auto& name : catalog_names({k_profiles})) {
    const auto profile = load_profile(name, {k_profiles}, "test");
    constexpr std::uint32_t count = 4096;
    std::vector<TokenRun> runs(count);
    for (std::uint32_t i = 0; i < count; ++i) {
      runs[i] = {
          .request = i, .first_position = 9, .count = 1, .phase = TokenPhase::decode, .kept = {}};
    }
    const auto tokens = RoutingGenerator(profile, 2).route(runs, 77, 2);
    for (const int layer : {0, profile.router.layers - 1}) {
      const auto target = target_loads(profile, layer);
      std::vector<double> loads(target.size());
      for (const auto id : tokens.layer(layer)) {
        loads[id] += 1.0;
      }
      double worst = 0.0;
      for (std::size_t e = 0; e < loads.size(); ++e) {
        const double expected = target[e] * count * profile.router.top_k;
        worst = std::max(worst, std::abs(loads[e] - expected) / std::sqrt(1.5 * expected + 1.0));
      }
      CAPTURE(name, layer);
      CHECK(worst < 5.0);
    }
  }
}

}  // namespace moesim
