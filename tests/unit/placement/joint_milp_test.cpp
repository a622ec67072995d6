#include "placement/programs/joint_milp.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include <catch2/catch.hpp>

#include "placement/heuristics/item_objective.h"
#include "random_problem.h"
#include "sim/core/config.h"

using namespace moesim;

namespace {

// Shapes of at most some thousand placements: layers, experts, GPUs, GPUs per node, slots.
PlacementProblem small_problem(Rng& rng, int shape) {
  switch (shape) {
    case 0:
      return test::random_problem(rng, 3, 4, 2, 2, 2);
    case 1:
      return test::random_problem(rng, 2, 4, 4, 2, 1);
    case 2:
      return test::random_problem(rng, 2, 4, 2, 1, 3);
    default:
      return test::random_problem(rng, 2, 5, 3, 3, 2);
  }
}

}  // namespace

TEST_CASE("the joint integer program is exact on small problems", "[placement][property][large]") {
  const auto seed = GENERATE(range(std::uint64_t{0}, std::uint64_t{3}));
  const int shape = GENERATE(0, 1, 2, 3);
  const int variant = GENERATE(0, 1, 2, 3);
  CAPTURE(seed, shape, variant);
  Rng rng(seed);
  PlacementProblem p = small_problem(rng, shape);
  if (variant == 1) {
    for (int g = 0; g < p.devices; ++g) {
      p.slowness.push_back(0.5 + rng.uniform());
    }
    p.in_seconds = true;  // small numbers
    p.alpha *= 1e-6;
    p.beta *= 1e-6;
  } else if (variant == 2) {  // expert 0 of layer 1 has to live on the last GPU
    p.forbidden.assign(
        static_cast<std::size_t>(p.layers) * static_cast<std::size_t>(p.experts * p.devices), 0);
    for (int g = 0; g + 1 < p.devices; ++g) {
      p.forbidden[static_cast<std::size_t>(p.experts * p.devices + g)] = 1;
    }
  } else if (variant == 3) {
    p.comm = CommModel::none;
  }
  REQUIRE(unfit_milp(p).empty());
  SolverRun run({});
  const JointMilpResult result = solve_joint_milp(p, {}, run);
  const double best = test::best_by_enumeration(p);
  check_feasible(p, placement_of(p, result.devices), "milp");
  CHECK(test::objective_of(p, result.devices) == Approx(result.objective).epsilon(1e-12));
  CHECK(result.objective == Approx(best).epsilon(1e-7));
  CHECK(result.lower_bound <= best * (1.0 + 1e-9));
  CHECK(result.lower_bound >= best * (1.0 - 1e-5));
  CHECK(result.proven);

  SolverRun again({.threads = 2});
  CHECK(solve_joint_milp(p, {}, again).devices == result.devices);
}

TEST_CASE("replicas of one expert are kept apart by the joint program", "[placement][unit]") {
  PlacementProblem p;
  p.layers = 1;
  p.experts = 4;  // items: expert 0 twice
  p.devices = 2;
  p.devices_per_node = 2;
  p.capacity = {2, 2};
  p.loads = {{10.0, 10.0, 12.0, 12.0}};
  p.expert_of_item = {{0, 0, 1, 2}};
  SolverRun run({});
  const JointMilpResult result = solve_joint_milp(p, {}, run);
  CHECK(result.proven);
  CHECK(result.objective == 22.0);
  CHECK(result.devices[0] != result.devices[1]);
}

TEST_CASE("a joint program without time keeps its start and its bound", "[placement][unit]") {
  Rng rng(3);
  const PlacementProblem p = test::random_problem(rng, 4, 12, 4, 2, 3);
  const double start = item_objective(p, balanced_starts(p));
  for (const double limit : {0.0, 0.3}) {
    SolverRun run({.time_limit_s = limit});
    const JointMilpResult result = solve_joint_milp(p, {}, run);
    CHECK(result.objective <= start);
    CHECK(result.lower_bound <= result.objective);
    check_feasible(p, placement_of(p, result.devices), "milp");
  }
}

// CBC has crashed when it was interrupted after its search, and while reading a program.
TEST_CASE("programs that are interrupted anywhere leave an answer", "[placement][property]") {
  Rng rng(11);
  for (int i = 0; i < 25; ++i) {
    CAPTURE(i);
    const PlacementProblem p = test::random_problem(rng, 3, 6, 2 + i % 2, 2 + i % 2, 3);
    SolverRun run({.time_limit_s = 0.001 + 0.05 * rng.uniform()});
    const JointMilpResult result = solve_joint_milp(p, {}, run);
    CHECK(result.lower_bound <= result.objective);
    check_feasible(p, placement_of(p, result.devices), "milp");
  }
}

TEST_CASE("the joint program proves the optima of the placement cases", "[placement][shared]") {
  const std::filesystem::path folder =
      std::filesystem::path(MOESIM_SHARED_DIR) / "data/placement_cases";
  if (!std::filesystem::exists(folder)) {
    WARN("skipped: no placement cases");
    return;
  }
  for (const char* name :
       {"tiny_flat_L3E4G2", "hier_L3E4G4_2nodes", "planted_L5E6G3", "uneven_L3E5G2_max3"}) {
    CAPTURE(name);
    const nlohmann::json document = read_json_file((folder / name).string() + ".json");
    const PlacementProblem p = read_placement_problem(document, name);
    SolverRun run({});
    const JointMilpResult result = solve_joint_milp(p, {}, run);
    const double optimum = document["optimum"]["F"].get<double>();
    CHECK(result.objective == optimum);
    CHECK(result.lower_bound == optimum);
  }
}

TEST_CASE("the joint program proves the larger placement cases", "[placement][shared][slow]") {
  const std::filesystem::path folder =
      std::filesystem::path(MOESIM_SHARED_DIR) / "data/placement_cases";
  if (!std::filesystem::exists(folder)) {
    WARN("skipped: no placement cases");
    return;
  }
  // Seconds; hier_L6E8G2_2nodes takes minutes, so only short runs of its layers are proven here.
  const nlohmann::json flat = read_json_file((folder / "flat_L4E6G3.json").string());
  const PlacementProblem p = read_placement_problem(flat, "flat_L4E6G3");
  SolverRun run({});
  const JointMilpResult result = solve_joint_milp(p, {}, run);
  CHECK(result.objective == flat["optimum"]["F"].get<double>());
  CHECK(result.lower_bound == result.objective);

  const nlohmann::json hier = read_json_file((folder / "hier_L6E8G2_2nodes.json").string());
  const PlacementProblem q = read_placement_problem(hier, "hier_L6E8G2_2nodes");
  SolverRun limited({.time_limit_s = 3.0});
  const JointMilpResult some = solve_joint_milp(q, {}, limited);
  CHECK(some.objective >= hier["optimum"]["F"].get<double>());
  CHECK(some.lower_bound <= hier["optimum"]["F"].get<double>());
  CHECK(some.lower_bound > 0.0);
}
