#include "placement/published/co_clustering.h"

#include <catch2/catch.hpp>

#include "placement/evaluate.h"
#include "random_problem.h"

using namespace moesim;

namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

// Token types prefer the experts of their group; experts of a group are scattered over the ids.
CoClusterInput grouped(Rng& rng, int layers, int experts, int devices, double loyal) {
  CoClusterInput input;
  input.layers = layers;
  input.experts = experts;
  input.devices = devices;
  input.capacity.assign(at(devices), experts / devices);
  for (int token = 0; token < 12 * devices; ++token) {
    input.frequency.push_back(static_cast<double>(1 + rng.below(3)));
    input.experts_of.emplace_back();
    for (int l = 0; l < layers; ++l) {
      for (int k = 0; k < 2; ++k) {
        const bool own = rng.uniform() < loyal;
        const int any = static_cast<int>(rng.below(at(experts)));
        const int expert = own ? any - any % devices + token % devices : any;
        input.experts_of.back().push_back({l, expert, input.frequency.back()});
      }
    }
  }
  return input;
}

}  // namespace

TEST_CASE("planted clusters of tokens and experts are found", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{10}));
  CAPTURE(seed);
  Rng rng(seed);
  CoClusterInput input = grouped(rng, 2, 12, 3, 1.0);
  input.frequency.assign(input.frequency.size(), 1.0);  // groups of one size: balanced too
  const SolverRun run({.seed = seed});
  input.starts = 40;  // each ends in a local optimum
  const CoClusters clusters = co_cluster(input, run);
  CHECK(clusters.local_rate == 1.0);
  CHECK(clusters.imbalance == Approx(1.0));
  CHECK(clusters.objective == Approx(0.0).margin(1e-9));
}

TEST_CASE("co-clusters end where neither tokens nor experts can do better",
          "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{12}));
  const double theta = GENERATE(0.1, 0.5, 0.9);
  CAPTURE(seed, theta);
  Rng rng(seed);
  CoClusterInput input = grouped(rng, 1, 6, 3, 0.6);
  input.theta = theta;
  const SolverRun run({.seed = seed});
  const CoClusters clusters = co_cluster(input, run);
  const double objective = co_cluster_objective(input, clusters);
  CHECK(objective == Approx(clusters.objective));
  for (int g = 0; g < 3; ++g) {
    CHECK(std::ranges::count(clusters.device_of_expert[0], g) == 2);
  }
  for (std::size_t token = 0; token < input.frequency.size(); ++token) {
    for (int g = 0; g < input.devices; ++g) {
      CoClusters other = clusters;
      other.device_of_token[token] = g;
      CHECK(co_cluster_objective(input, other) >= objective * (1.0 - 1e-9));
    }
  }
  PlacementProblem p = test::random_problem(rng, 1, 6, 3, 3, 2);
  test::for_each_layer(p, 0, [&](const std::vector<int>& device) {
    CoClusters other = clusters;
    other.device_of_expert[0] = device;
    CHECK(co_cluster_objective(input, other) >= objective * (1.0 - 1e-9));
  });
  const SolverRun again({.seed = seed, .threads = 2});
  CHECK(co_cluster(input, again).device_of_token == clusters.device_of_token);
}

TEST_CASE("co-clustering lets tokens visit fewer devices", "[placement][unit]") {
  Rng rng(4);
  PlacementProblem p;
  p.layers = 2;
  p.experts = 8;
  p.devices = 4;
  p.devices_per_node = 4;
  p.capacity = {2, 2, 2, 2};
  p.top_k = 2;
  p.comm = CommModel::dispatch;
  p.loads.assign(2, std::vector<double>(8, 0.0));
  p.token_sets.resize(2);
  for (int token = 0; token < 200; ++token) {
    for (std::size_t l = 0; l < 2; ++l) {
      const auto first = static_cast<std::uint16_t>(rng.below(4));
      for (const int e : {int{first}, first + 4}) {  // experts e and e + 4 belong together
        p.token_sets[l].push_back(static_cast<std::uint16_t>(e));
        p.loads[l][at(e)] += 1.0;
      }
    }
  }
  REQUIRE(unfit_co_clustering(p).empty());
  SolverRun run({});
  const SolverAnswer answer = place_co_clustering(p, run);
  check_feasible(p, answer.placement, "co_clustering");
  Assignment contiguous;
  for (int i = 0; i < 16; ++i) {
    contiguous.push_back(i % 8 / 2);
  }
  // Two devices per token and layer at worst, one at best.
  CHECK(evaluate(p, answer.placement).traffic <
        0.7 * evaluate(p, placement_of(p, contiguous)).traffic);
}
