#include "placement/optimise.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "placement/replication/replicas.h"
#include "sim/core/config.h"
#include "sim/core/error.h"
#include "tests/unit/placement/random_tokens.h"

using namespace moesim;
using moesim::testing::RandomShape;
using moesim::testing::tokens_problem;

namespace {

const std::string k_cases = MOESIM_SHARED_DIR "/data/placement_cases";

PlacementProblem medium(CommModel comm, std::uint64_t seed) {
  RandomShape shape;
  shape.comm = comm;
  shape.layers = 5;
  shape.experts = 32;
  shape.devices = 8;
  shape.devices_per_node = 4;
  shape.top_k = 3;
  return tokens_problem(shape, seed);
}

}  // namespace

TEST_CASE("auto is never worse than the baselines", "[placement][property][large]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{6}));
  const CommModel comm = GENERATE(CommModel::none, CommModel::interlayer, CommModel::dispatch);
  const int redundant = GENERATE(0, 8);
  CAPTURE(seed, name_of(comm), redundant);
  PlacementProblem p = medium(comm, seed);
  p.redundant = redundant;
  p.capacity.assign(8, (32 + redundant) / 8);
  const PlacementResult found = optimise_placement(p, "auto", {});
  for (const char* baseline : {"contiguous", "round_robin", "eplb", "lpt"}) {
    CHECK(found.score.objective <= optimise_placement(p, baseline, {}).score.objective);
  }
  CHECK(found.lower_bound <= found.score.objective);
  CHECK(found.lower_bound > 0.0);
}

TEST_CASE("replicas spread over nodes at the same loads", "[placement][property]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{20}));
  CAPTURE(seed);
  PlacementProblem p = medium(CommModel::none, seed);
  p.devices_per_node = 2;
  p.redundant = 16;
  p.capacity.assign(8, 6);
  const ExpertPlacement before = optimise_placement(p, "swap", {}).placement;
  const ExpertPlacement after = spread_over_nodes(p, before);
  CHECK_NOTHROW(check_placement(after));
  CHECK(replica_node_share(p, after) >= replica_node_share(p, before));
  CHECK(replica_node_share(p, after) > 0.9);
  for (int l = 0; l < p.layers; ++l) {
    auto loads_before = device_loads(p, before, l);
    auto loads_after = device_loads(p, after, l);
    std::ranges::sort(loads_before);
    std::ranges::sort(loads_after);
    CHECK(loads_after == loads_before);
  }
}

TEST_CASE("threads do not change a placement", "[placement][property]") {
  const CommModel comm = GENERATE(CommModel::none, CommModel::interlayer, CommModel::dispatch);
  const PlacementProblem p = medium(comm, 11);
  for (const char* method : {"auto", "swap"}) {
    const PlacementResult one = optimise_placement(p, method, {.threads = 1});
    const PlacementResult two = optimise_placement(p, method, {.threads = 2});
    CHECK(one.placement.slot_expert == two.placement.slot_expert);
    CHECK(one.lower_bound == two.lower_bound);
  }
}

TEST_CASE("an interrupted search still has a placement and a gap", "[placement][unit]") {
  const CommModel comm = GENERATE(CommModel::none, CommModel::interlayer, CommModel::dispatch);
  const std::atomic<bool> cancel{true};
  const PlacementProblem p = medium(comm, 12);
  const PlacementResult found = optimise_placement(p, "auto", {.cancel = &cancel});
  CHECK_NOTHROW(check_feasible(p, found.placement, "test"));
  CHECK(found.lower_bound > 0.0);
}

TEST_CASE("a solver that cannot solve a problem says why", "[placement][unit]") {
  const PlacementProblem p = medium(CommModel::none, 1);
  CHECK_THROWS_WITH(optimise_placement(p, "gurobi", {}), Catch::Contains("auto, contiguous"));
  CHECK_THROWS_WITH(optimise_placement(p, "dp", {}), Catch::Contains("too many assignments"));
}

TEST_CASE("every solver that takes a problem places it", "[placement][property]") {
  const CommModel comm = GENERATE(CommModel::none, CommModel::interlayer, CommModel::dispatch);
  const int redundant = GENERATE(0, 1, 2);
  CAPTURE(name_of(comm), redundant);
  RandomShape shape;
  shape.comm = comm;
  shape.layers = 2;
  shape.experts = 4;
  shape.devices = 2;
  shape.devices_per_node = 1;
  PlacementProblem p = tokens_problem(shape, 5);
  p.redundant = redundant;
  p.set_even_capacity();
  for (const PlacementSolverEntry& solver : placement_solvers()) {
    CAPTURE(solver.name);
    if (solver.unfit(p).empty()) {
      const PlacementResult found =
          optimise_placement(p, std::string(solver.name), {.time_limit_s = 0.2});
      CHECK(found.score.objective >= optimise_placement(p, "auto", {}).lower_bound * (1 - 1e-9));
    }
  }
}

// Four GPUs with one slot each, expert 1 pinned where expert 0 would go by the rule.
TEST_CASE("pinned and forbidden experts are where they must be", "[placement][unit]") {
  const auto document = nlohmann::json::parse(R"({
    "gpus": 4, "loads": [[4, 3, 2, 1]],
    "pinned": [{"expert": 1, "gpu": 0}], "forbidden": [{"expert": 0, "gpu": 1}]})");
  const PlacementProblem p = read_placement_problem(document, "p.json");
  for (const char* method : {"auto", "lpt", "contiguous", "banded", "swap"}) {
    const PlacementResult found = optimise_placement(p, method, {});
    CHECK(found.placement.slot_expert[0][0] == 1);
    CHECK(found.placement.slot_expert[0][1] != 0);
  }
}

TEST_CASE("every case with a known optimum is solved and proven", "[placement][shared]") {
  if (!std::filesystem::is_directory(k_cases)) {
    WARN("skipped: " << k_cases << " is not there");
    return;
  }
  int solved = 0;
  for (const auto& entry : std::filesystem::directory_iterator(k_cases)) {
    if (entry.path().extension() != ".json") {
      continue;
    }
    const nlohmann::json document = read_json_file(entry.path().string());
    CAPTURE(entry.path().filename());
    if (document.value("kind", "") == "replication") {
      nlohmann::json split = document;
      for (const char* rule : {"even", "optimal"}) {
        split["split"] = rule;
        const auto& optimum = document.at(std::string("optimum_") + rule + "_split").at("max_load");
        const PlacementResult found =
            optimise_placement(read_placement_problem(split, entry.path().filename()), "auto", {});
        CHECK(found.score.objective ==
              Approx(optimum.at(0).get<double>() / optimum.at(1).get<double>()).epsilon(1e-9));
        CHECK(found.proven_optimal);
      }
    } else {
      const PlacementResult found =
          optimise_placement(read_placement_problem(document, entry.path().filename()), "auto", {});
      CHECK(found.score.objective == document.at("optimum").at("F").get<double>());
      CHECK(found.proven_optimal);
    }
    ++solved;
  }
  CHECK(solved >= 7);
}

// 600, 560, 120, ... on 8 GPUs with two slots: EPLB's greedy replicas reach 232.
TEST_CASE("a hotness that misleads greedy replication", "[placement][golden]") {
  const auto document = nlohmann::json::parse(
      R"({"kind": "replication", "gpus": 8, "slots_per_gpu": 2,
          "loads": [600, 560, 120, 120, 20, 10, 10, 10]})");
  const PlacementProblem p = read_placement_problem(document, "hotness.json");
  const PlacementResult found = optimise_placement(p, "auto", {});
  CHECK(found.score.objective == Approx(590.0 / 3.0).epsilon(1e-12));
  CHECK(found.proven_optimal);
  CHECK(optimise_placement(p, "eplb", {}).score.objective == Approx(232.0));
}
