// DeepSeek's expert-parallelism load balancer (EPLB, github.com/deepseek-ai/EPLB, MIT),
// re-expressed: the baseline that every solver is compared with, and what engines run by default.
//
// hierarchical (groups % nodes == 0):
//   1. expert groups -> nodes: heaviest first onto the lightest node that has room;
//   2. inside each node, replica after replica to the expert with the largest load / replicas;
//   3. inside each node, replicas -> GPUs as in 1.
// global (otherwise): steps 2 and 3 with everything in one node.
// Loads are rounded to single precision and ties go to the lower index, as in the original.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "placement/placement.h"
#include "placement/problem.h"
#include "placement/solver.h"

namespace moesim {

struct EplbResult {
  std::vector<std::vector<std::int32_t>> phy2log;  // [layer][slot] -> expert
  // [layer][expert][replica] -> slot; as long as the largest count of any layer, padded with -1.
  std::vector<std::vector<std::vector<std::int32_t>>> log2phy;
  std::vector<std::vector<std::int32_t>> logcnt;  // [layer][expert] -> number of replicas
};

// loads: [layer][expert]; replicas: slots of all GPUs together. Two replicas of one expert may
// share a GPU. Throws InvariantError unless replicas % gpus == 0, gpus % nodes == 0, replicas >=
// experts, and, where groups % nodes == 0, experts % groups == 0 and replicas suffice per node.
EplbResult rebalance_experts(const std::vector<std::vector<double>>& loads, int replicas,
                             int groups, int nodes, int gpus);

// phy2log on `gpus` GPUs with equally many slots.
ExpertPlacement placement_of(const EplbResult& result, int gpus);

// The better, under the problem's objective, of global and (where nodes divide the experts)
// hierarchical with one group per node: a problem does not know the model's expert groups.
SolverAnswer solve_eplb(const PlacementProblem& problem, SolverRun& run);
// EPLB fills every slot, wants equally many on every GPU, and knows no rules where experts may be.
std::string unfit_eplb(const PlacementProblem& problem);

}  // namespace moesim
