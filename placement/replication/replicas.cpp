#include "placement/replication/replicas.h"

#include <algorithm>
#include <queue>

#include "placement/heuristics/heuristics.h"
#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

struct Hottest {
  double per_replica;
  int expert;
  bool operator<(const Hottest& other) const {
    return per_replica != other.per_replica ? per_replica < other.per_replica
                                            : expert > other.expert;
  }
};

// Does no device hold an expert twice, or one that it must not hold?
bool obeys_rules(const PlacementProblem& problem, const ExpertPlacement& placement) {
  for (std::size_t l = 0; l < placement.slot_expert.size(); ++l) {
    const auto& slots = placement.slot_expert[l];
    for (int g = 0; g < placement.devices; ++g) {
      const auto begin = slots.begin() + placement.first_slot[at(g)];
      const auto end = slots.begin() + placement.first_slot[at(g) + 1];
      for (auto slot = begin; slot != end; ++slot) {
        if (*slot >= 0 && (!problem.allowed(static_cast<int>(l), *slot, g) ||
                           std::find(begin, slot, *slot) != slot)) {
          return false;
        }
      }
    }
  }
  return true;
}

}  // namespace

std::vector<int> water_filling_counts(std::span<const double> loads, int slots,
                                      std::span<const int> most) {
  std::vector<int> count(loads.size(), 1);
  std::priority_queue<Hottest> open;
  std::priority_queue<Hottest> full;
  for (std::size_t e = 0; e < loads.size(); ++e) {
    (most[e] > 1 ? open : full).push({loads[e], static_cast<int>(e)});
  }
  for (int r = static_cast<int>(loads.size()); r < slots; ++r) {
    auto& queue = open.empty() ? full : open;
    const int e = queue.top().expert;
    queue.pop();
    ++count[at(e)];
    (count[at(e)] < most[at(e)] ? open : full).push({loads[at(e)] / count[at(e)], e});
  }
  return count;
}

std::vector<int> replica_limits(const PlacementProblem& problem, int layer) {
  std::vector<int> most(at(problem.experts), 0);
  for (int e = 0; e < problem.experts; ++e) {
    for (int g = 0; g < problem.devices; ++g) {
      most[at(e)] += problem.capacity[at(g)] > 0 && problem.allowed(layer, e, g) ? 1 : 0;
    }
  }
  return most;
}

PlacementProblem expand_replicas(const PlacementProblem& problem,
                                 const std::vector<std::vector<int>>& counts) {
  PlacementProblem items = problem;
  items.redundant = 0;
  items.experts = problem.experts + problem.redundant;
  items.forbidden.clear();
  std::vector<std::vector<int>> first;  // [layer][expert]: its first item
  for (std::size_t l = 0; l < at(problem.layers); ++l) {
    std::vector<std::int32_t> expert_of_item;
    std::vector<double> loads;
    first.emplace_back();
    for (int e = 0; e < problem.experts; ++e) {
      const int n = counts[l][at(e)];
      first.back().push_back(static_cast<int>(expert_of_item.size()));
      for (int r = 0; r < n; ++r) {
        expert_of_item.push_back(e);
        loads.push_back(problem.loads[l][at(e)] / n);
      }
    }
    ensure(expert_of_item.size() == at(items.experts), "counts fill the slots of every layer");
    items.loads[l] = std::move(loads);
    items.expert_of_item.push_back(std::move(expert_of_item));
  }
  for (std::size_t l = 0; l < items.transitions.size(); ++l) {
    std::vector<double> matrix;
    matrix.reserve(at(items.experts) * at(items.experts));
    for (const std::int32_t a : items.expert_of_item[l]) {
      for (const std::int32_t b : items.expert_of_item[l + 1]) {
        matrix.push_back(problem.transitions[l][at(a) * at(problem.experts) + at(b)] /
                         (counts[l][at(a)] * counts[l + 1][at(b)]));
      }
    }
    items.transitions[l] = std::move(matrix);
  }
  for (std::size_t l = 0; l < items.token_sets.size(); ++l) {  // token t uses replica t mod n
    for (std::size_t i = 0; i < items.token_sets[l].size(); ++i) {
      std::uint16_t& id = items.token_sets[l][i];
      const auto token = static_cast<int>(i / at(problem.top_k));
      id = static_cast<std::uint16_t>(first[l][id] + token % counts[l][id]);
    }
  }
  if (!problem.forbidden.empty()) {
    for (int l = 0; l < problem.layers; ++l) {
      for (const std::int32_t e : items.expert_of_item[at(l)]) {
        for (int g = 0; g < problem.devices; ++g) {
          items.forbidden.push_back(problem.allowed(l, e, g) ? 0 : 1);
        }
      }
    }
  }
  return items;
}

PlacementProblem expand_replicas(const PlacementProblem& problem) {
  if (problem.redundant == 0) {
    return problem;
  }
  std::vector<std::vector<int>> counts;
  counts.reserve(problem.loads.size());
  for (int l = 0; l < problem.layers; ++l) {
    counts.push_back(water_filling_counts(problem.loads[at(l)], problem.experts + problem.redundant,
                                          replica_limits(problem, l)));
  }
  return expand_replicas(problem, counts);
}

std::vector<std::vector<int>> replica_counts(const ExpertPlacement& placement) {
  std::vector<std::vector<int>> counts;
  for (const auto& slots : placement.slot_expert) {
    counts.emplace_back(at(placement.experts), 0);
    for (const std::int32_t e : slots) {
      if (e >= 0) {
        ++counts.back()[at(e)];
      }
    }
  }
  return counts;
}

ExpertPlacement apart_where_possible(const PlacementProblem& problem,
                                     const ExpertPlacement& placement) {
  if (obeys_rules(problem, placement)) {
    return placement;  // slots keep their order: it numbers the replicas
  }
  PlacementProblem loads = problem;
  loads.comm = CommModel::none;
  loads.transitions.clear();
  loads.token_sets.clear();
  const PlacementProblem items = expand_replicas(loads, replica_counts(placement));
  Assignment devices = assignment_of_items(items, placement);
  repair(items, devices);
  return placement_of(items, devices);
}

ExpertPlacement without_twins(const ExpertPlacement& placement) {
  ExpertPlacement result = placement;
  for (auto& slots : result.slot_expert) {
    for (int g = 0; g < result.devices; ++g) {
      const auto begin = slots.begin() + result.first_slot[at(g)];
      const auto end = slots.begin() + result.first_slot[at(g) + 1];
      for (auto slot = begin; slot != end; ++slot) {
        if (*slot >= 0 && std::find(begin, slot, *slot) != slot) {
          *slot = -1;
        }
      }
    }
  }
  return result;
}

}  // namespace moesim
