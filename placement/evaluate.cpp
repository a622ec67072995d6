#include "placement/evaluate.h"

#include <algorithm>
#include <numeric>

#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

// Replicas of one layer: [expert] -> devices, one entry per slot.
std::vector<std::vector<int>> replicas_of(const PlacementProblem& problem,
                                          const ExpertPlacement& placement, int layer) {
  std::vector<std::vector<int>> devices(at(problem.experts));
  const auto& slots = placement.slot_expert[at(layer)];
  for (int g = 0; g < problem.devices; ++g) {
    for (int s = placement.first_slot[at(g)]; s < placement.first_slot[at(g) + 1]; ++s) {
      if (slots[at(s)] >= 0) {
        devices[at(slots[at(s)])].push_back(g);
      }
    }
  }
  return devices;
}

// act(from device, to device, token pairs) for every pair of replicas of consecutive layers.
template <class Act>
void for_each_pair(const PlacementProblem& problem, const ExpertPlacement& placement, Act&& act) {
  std::vector<std::vector<int>> here = replicas_of(problem, placement, 0);
  const std::size_t experts = at(problem.experts);
  for (int l = 0; l + 1 < problem.layers; ++l) {
    std::vector<std::vector<int>> next = replicas_of(problem, placement, l + 1);
    for (std::size_t a = 0; a < experts; ++a) {
      for (std::size_t b = 0; b < experts; ++b) {
        const double pairs = problem.transitions[at(l)][a * experts + b];
        if (pairs == 0.0) {
          continue;
        }
        const double share = pairs / static_cast<double>(here[a].size() * next[b].size());
        for (const int from : here[a]) {
          for (const int to : next[b]) {
            act(from, to, share);
          }
        }
      }
    }
    here = std::move(next);
  }
}

void score_interlayer(const PlacementProblem& problem, const ExpertPlacement& placement,
                      PlacementScore& score) {
  for_each_pair(problem, placement, [&](int from, int to, double share) {
    score.moves += share;
    score.cross_device += from != to ? share : 0.0;
    score.cross_node += problem.node_of(from) != problem.node_of(to) ? share : 0.0;
    score.traffic += share * problem.distance(from, to);
  });
}

// Replicas in the dispatch model: token t of the sample uses replica t mod n.
void score_dispatch(const PlacementProblem& problem, const ExpertPlacement& placement,
                    PlacementScore& score) {
  const double leaves_device = 1.0 - 1.0 / problem.devices_per_node;
  const double leaves_node = 1.0 - 1.0 / problem.nodes();
  std::vector<std::size_t> seen_device(at(problem.devices), 0);
  std::vector<std::size_t> seen_node(at(problem.nodes()), 0);
  std::size_t stamp = 0;
  for (int l = 0; l < problem.layers; ++l) {
    const std::vector<std::vector<int>> replicas = replicas_of(problem, placement, l);
    const auto& ids = problem.token_sets[at(l)];
    const std::size_t k = at(problem.top_k);
    for (std::size_t t = 0; t < ids.size() / k; ++t) {
      ++stamp;
      double devices = 0.0;
      double nodes = 0.0;
      for (std::size_t i = t * k; i < (t + 1) * k; ++i) {
        const std::vector<int>& choices = replicas[ids[i]];
        const int g = choices[t % choices.size()];
        devices += seen_device[at(g)] != stamp ? 1.0 : 0.0;
        seen_device[at(g)] = stamp;
        const int node = problem.node_of(g);
        nodes += seen_node[at(node)] != stamp ? 1.0 : 0.0;
        seen_node[at(node)] = stamp;
      }
      score.moves += static_cast<double>(problem.top_k);
      score.cross_device += devices * (1.0 - 1.0 / problem.devices);
      score.cross_node += nodes * leaves_node;
      score.traffic +=
          devices * leaves_device * problem.c_intra + nodes * leaves_node * problem.c_inter;
    }
  }
}

}  // namespace

std::vector<double> device_loads(const PlacementProblem& problem, const ExpertPlacement& placement,
                                 int layer) {
  const auto& slots = placement.slot_expert[at(layer)];
  std::vector<double> served;
  if (problem.split == ReplicaSplit::optimal) {
    served = optimal_slot_loads(problem, placement, layer);
  } else {
    const auto replicas = replicas_of(problem, placement, layer);
    for (const std::int32_t e : slots) {
      served.push_back(e < 0 ? 0.0
                             : problem.loads[at(layer)][at(e)] /
                                   static_cast<double>(replicas[at(e)].size()));
    }
  }
  std::vector<double> loads(at(problem.devices), 0.0);
  for (int g = 0; g < problem.devices; ++g) {
    for (int s = placement.first_slot[at(g)]; s < placement.first_slot[at(g) + 1]; ++s) {
      loads[at(g)] += served[at(s)];
    }
  }
  return loads;
}

PlacementScore evaluate(const PlacementProblem& problem, const ExpertPlacement& placement) {
  ensure(placement.devices == problem.devices && placement.experts == problem.experts &&
             placement.slot_expert.size() == at(problem.layers),
         "a placement has the shape of its problem");
  PlacementScore score;
  for (int l = 0; l < problem.layers; ++l) {
    const std::vector<double> loads = device_loads(problem, placement, l);
    double most = 0.0;
    double busiest = 0.0;
    for (int g = 0; g < problem.devices; ++g) {
      most = std::max(most, problem.slowness_of(g) * loads[at(g)]);
      busiest = std::max(busiest, loads[at(g)]);
    }
    const double mean = problem.total_load(l) / problem.devices;
    score.layer_max.push_back(most);
    score.layer_mean.push_back(mean);
    score.load += most;
    score.balancedness += busiest > 0.0 ? mean / busiest : 1.0;
  }
  score.balancedness /= problem.layers;
  if (problem.comm == CommModel::interlayer) {
    score_interlayer(problem, placement, score);
  } else if (problem.comm == CommModel::dispatch) {
    score_dispatch(problem, placement, score);
  }
  score.objective = problem.alpha * score.load + problem.beta * score.traffic;
  return score;
}

std::vector<double> traffic_matrix(const PlacementProblem& problem,
                                   const ExpertPlacement& placement) {
  std::vector<double> matrix;
  if (problem.comm == CommModel::interlayer) {
    matrix.assign(at(problem.devices) * at(problem.devices), 0.0);
    for_each_pair(problem, placement, [&](int from, int to, double share) {
      matrix[at(from) * at(problem.devices) + at(to)] += share;
    });
  }
  return matrix;
}

void check_feasible(const PlacementProblem& problem, const ExpertPlacement& placement,
                    const std::string& where) {
  if (placement.devices != problem.devices || placement.experts != problem.experts ||
      placement.slot_expert.size() != at(problem.layers)) {
    throw ConfigError(
        where, "a placement of " + std::to_string(placement.experts) + " experts in " +
                   std::to_string(placement.slot_expert.size()) + " layers on " +
                   std::to_string(placement.devices) + " GPUs does not fit a problem of " +
                   std::to_string(problem.experts) + " in " + std::to_string(problem.layers) +
                   " on " + std::to_string(problem.devices));
  }
  for (int l = 0; l < problem.layers; ++l) {
    const auto replicas = replicas_of(problem, placement, l);
    std::vector<int> used(at(problem.devices), 0);
    std::size_t copies = 0;
    for (int e = 0; e < problem.experts; ++e) {
      copies += replicas[at(e)].size();
      const std::string here = where + "/" + std::to_string(l);
      if (replicas[at(e)].empty()) {
        throw ConfigError(here, "expert " + std::to_string(e) + " is on no GPU");
      }
      for (const int g : replicas[at(e)]) {
        if (!problem.allowed(l, e, g)) {
          throw ConfigError(
              here, "expert " + std::to_string(e) + " may not be on GPU " + std::to_string(g));
        }
        ++used[at(g)];
      }
    }
    if (copies != at(problem.experts) + at(problem.redundant)) {
      throw ConfigError(where + "/" + std::to_string(l),
                        std::to_string(copies) + " replicas of " + std::to_string(problem.experts) +
                            " experts; the problem has " +
                            std::to_string(problem.experts + problem.redundant));
    }
    for (int g = 0; g < problem.devices; ++g) {
      const int room = problem.capacity[at(g)];
      if (used[at(g)] > room || (problem.exact_capacity && used[at(g)] < room)) {
        throw ConfigError(where + "/" + std::to_string(l),
                          "GPU " + std::to_string(g) + " holds " + std::to_string(used[at(g)]) +
                              " experts in " + std::to_string(room) + " slots");
      }
    }
  }
}

}  // namespace moesim
