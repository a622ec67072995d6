// Every placement solver, in the order in which they are documented.
#include <array>

#include "placement/heuristics/homes.h"
#include "placement/heuristics/portfolio.h"
#include "placement/programs/joint_milp.h"
#include "placement/programs/lns.h"
#include "placement/published/co_clustering.h"
#include "placement/published/eplb.h"
#include "placement/published/exflow.h"
#include "placement/published/moetuner.h"
#include "placement/solver.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

std::string fits_all(const PlacementProblem& /*problem*/) { return ""; }

constexpr std::array solvers{
    PlacementSolverEntry{"auto", "exact where that is tractable, else the best heuristic", false,
                         fits_all, solve_auto},
    PlacementSolverEntry{"contiguous", "expert e on device e * devices / experts", true, fits_all,
                         solve_contiguous},
    PlacementSolverEntry{"round_robin", "expert e on device e mod devices", true, fits_all,
                         solve_round_robin},
    PlacementSolverEntry{"lpt", "heaviest expert first to the least loaded device", false, fits_all,
                         solve_lpt},
    PlacementSolverEntry{"eplb", "DeepSeek's load balancer, replicas included", false, unfit_eplb,
                         solve_eplb},
    PlacementSolverEntry{"relabel", "lpt, then devices renamed layer by layer for less traffic",
                         false, fits_all, solve_relabel},
    PlacementSolverEntry{"banded", "bands of equally heavy experts assigned by traffic and load",
                         false, fits_all, solve_banded},
    PlacementSolverEntry{"swap", "exchanges from several starts until none helps", false, fits_all,
                         solve_swap},
    PlacementSolverEntry{"annealing", "simulated annealing from the result of swap", false,
                         fits_all, solve_annealing},
    PlacementSolverEntry{"dp", "exact: dynamic programming over the layers' assignments", false,
                         unfit_dp, solve_dp},
    PlacementSolverEntry{"milp", "F itself as an integer program, for small problems", false,
                         unfit_milp, place_milp},
    PlacementSolverEntry{"lns", "integer programs over a few devices of one layer, again and again",
                         false, unfit_lns, place_lns},
    PlacementSolverEntry{"moetuner", "MoETuner's two integer programs: clusters, then devices",
                         false, unfit_moetuner, place_moetuner},
    PlacementSolverEntry{"exflow", "ExFlow's affinity program: nodes, then devices in each node",
                         false, unfit_exflow, place_exflow},
    PlacementSolverEntry{"co_clustering", "Speculative MoE's clusters of tokens and experts", false,
                         unfit_co_clustering, place_co_clustering},
    PlacementSolverEntry{"exact_replication", "exact: replicas and their devices, for few slots",
                         false, unfit_exact_replication, place_exact_replication},
};

}  // namespace

std::span<const PlacementSolverEntry> placement_solvers() { return solvers; }

const PlacementSolverEntry& find_placement_solver(std::string_view name, const std::string& where) {
  std::vector<std::string_view> names;
  for (const PlacementSolverEntry& entry : solvers) {
    if (entry.name == name) {
      return entry;
    }
    names.push_back(entry.name);
  }
  throw ConfigError(where, "there is no placement solver \"" + std::string(name) +
                               "\"; there are: " + joined(names));
}

}  // namespace moesim
