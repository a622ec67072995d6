#include "placement/published/eplb.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "placement/evaluate.h"
#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

// Where an item went.
struct Packed {
  int pack = 0;
  int rank = 0;  // among the items of its pack, in the order of their arrival
};

// Equally many items in every pack, heaviest first onto the lightest pack that has room. Where a
// pack takes one item, items stay where they are.
std::vector<Packed> balanced_packing(std::span<const float> weights, int packs) {
  const int items = static_cast<int>(weights.size());
  const int room = items / packs;
  std::vector<Packed> result(weights.size());
  if (room == 1) {
    for (int i = 0; i < items; ++i) {
      result[at(i)] = {i, 0};
    }
    return result;
  }
  std::vector<int> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int a, int b) { return weights[at(a)] > weights[at(b)]; });
  std::vector<float> filled(at(packs), 0.0F);
  std::vector<int> held(at(packs), 0);
  for (const int item : order) {
    int lightest = -1;
    for (int p = 0; p < packs; ++p) {
      if (held[at(p)] < room && (lightest < 0 || filled[at(p)] < filled[at(lightest)])) {
        lightest = p;
      }
    }
    result[at(item)] = {lightest, held[at(lightest)]++};
    filled[at(lightest)] += weights[at(item)];
  }
  return result;
}

// One node (or, globally, the whole cluster) after replication: every replica's expert, counted
// within the node, and which of the expert's replicas it is.
struct Replicas {
  std::vector<int> expert;
  std::vector<int> rank;
  std::vector<int> count;  // [expert]
};

Replicas replicate(std::span<const float> loads, int replicas) {
  Replicas result;
  result.expert.resize(loads.size());
  std::iota(result.expert.begin(), result.expert.end(), 0);
  result.rank.assign(loads.size(), 0);
  result.count.assign(loads.size(), 1);
  for (int r = static_cast<int>(loads.size()); r < replicas; ++r) {
    std::size_t hottest = 0;
    float most = -1.0F;
    for (std::size_t e = 0; e < loads.size(); ++e) {
      const float share = loads[e] / static_cast<float>(result.count[e]);
      if (share > most) {
        most = share;
        hottest = e;
      }
    }
    result.expert.push_back(static_cast<int>(hottest));
    result.rank.push_back(result.count[hottest]++);
  }
  return result;
}

// [position] -> expert, positions numbered through the nodes: groups packed onto nodes.
std::vector<int> experts_by_node(std::span<const float> loads, int groups, int nodes) {
  const int group_size = static_cast<int>(loads.size()) / groups;
  std::vector<float> group_load(at(groups), 0.0F);
  for (int e = 0; e < static_cast<int>(loads.size()); ++e) {
    group_load[at(e / group_size)] += loads[at(e)];
  }
  const std::vector<Packed> packed = balanced_packing(group_load, nodes);
  std::vector<int> order(loads.size());
  for (int e = 0; e < static_cast<int>(loads.size()); ++e) {
    const Packed& group = packed[at(e / group_size)];
    const int position = (group.pack * (groups / nodes) + group.rank) * group_size;
    order[at(position + e % group_size)] = e;
  }
  return order;
}

struct LayerResult {
  std::vector<std::int32_t> expert;  // [slot]
  std::vector<std::int32_t> rank;    // [slot]: which of the expert's replicas
};

LayerResult balance_layer(std::span<const float> loads, int replicas, int groups, int nodes,
                          int gpus) {
  const std::vector<int> order = experts_by_node(loads, groups, nodes);
  const int node_experts = static_cast<int>(loads.size()) / nodes;
  const int node_slots = replicas / nodes;
  const int node_gpus = gpus / nodes;
  LayerResult result;
  result.expert.resize(at(replicas));
  result.rank.resize(at(replicas));
  for (int node = 0; node < nodes; ++node) {
    const std::span<const int> here =
        std::span(order).subspan(at(node * node_experts), at(node_experts));
    std::vector<float> here_loads;
    for (const int e : here) {
      here_loads.push_back(loads[at(e)]);
    }
    const Replicas copies = replicate(here_loads, node_slots);
    std::vector<float> shares;
    for (const int e : copies.expert) {
      shares.push_back(here_loads[at(e)] / static_cast<float>(copies.count[at(e)]));
    }
    const std::vector<Packed> packed = balanced_packing(shares, node_gpus);
    for (std::size_t r = 0; r < packed.size(); ++r) {
      const int slot =
          node * node_slots + packed[r].pack * (node_slots / node_gpus) + packed[r].rank;
      result.expert[at(slot)] = here[at(copies.expert[r])];
      result.rank[at(slot)] = copies.rank[r];
    }
  }
  return result;
}

void check_arguments(int experts, int replicas, int groups, int nodes, int gpus) {
  ensure(gpus > 0 && nodes > 0 && groups > 0, "EPLB balances over at least one GPU");
  ensure(replicas % gpus == 0, "EPLB gives every GPU equally many slots");
  ensure(replicas >= experts, "EPLB has a slot for every expert");
  if (groups % nodes == 0) {
    ensure(gpus % nodes == 0 && experts % groups == 0,
           "hierarchical EPLB splits experts into equal groups and GPUs into equal nodes");
  }
}

}  // namespace

EplbResult rebalance_experts(const std::vector<std::vector<double>>& loads, int replicas,
                             int groups, int nodes, int gpus) {
  EplbResult result;
  std::int32_t most = 0;
  std::vector<std::vector<std::int32_t>> ranks;
  for (const std::vector<double>& layer : loads) {
    check_arguments(static_cast<int>(layer.size()), replicas, groups, nodes, gpus);
    const std::vector<float> single(layer.begin(), layer.end());
    const bool hierarchical = groups % nodes == 0;
    LayerResult balanced =
        balance_layer(single, replicas, hierarchical ? groups : 1, hierarchical ? nodes : 1, gpus);
    std::vector<std::int32_t> count(layer.size(), 0);
    for (const std::int32_t e : balanced.expert) {
      most = std::max(most, ++count[at(e)]);
    }
    result.logcnt.push_back(std::move(count));
    result.phy2log.push_back(std::move(balanced.expert));
    ranks.push_back(std::move(balanced.rank));
  }
  for (std::size_t l = 0; l < loads.size(); ++l) {
    result.log2phy.emplace_back(loads[l].size(), std::vector<std::int32_t>(at(most), -1));
    for (std::size_t s = 0; s < ranks[l].size(); ++s) {
      result.log2phy[l][at(result.phy2log[l][s])][at(ranks[l][s])] = static_cast<std::int32_t>(s);
    }
  }
  return result;
}

ExpertPlacement placement_of(const EplbResult& result, int gpus) {
  ExpertPlacement placement;
  placement.devices = gpus;
  placement.slot_expert = result.phy2log;
  const std::size_t slots = result.phy2log.empty() ? 0 : result.phy2log.front().size();
  ensure(gpus > 0 && slots % at(gpus) == 0, "EPLB gives every GPU equally many slots");
  for (int g = 0; g <= gpus; ++g) {
    placement.first_slot.push_back(g * (static_cast<int>(slots) / gpus));
  }
  placement.experts = result.logcnt.empty() ? 0 : static_cast<int>(result.logcnt.front().size());
  return placement;
}

SolverAnswer solve_eplb(const PlacementProblem& problem, SolverRun& run) {
  const int slots = problem.slots();
  ExpertPlacement best =
      placement_of(rebalance_experts(problem.loads, slots, 1, 1, problem.devices), problem.devices);
  double objective = evaluate(problem, best).objective;
  run.note_objective(objective);
  const int nodes = problem.nodes();
  if (nodes > 1 && problem.experts % nodes == 0) {
    ExpertPlacement hierarchical = placement_of(
        rebalance_experts(problem.loads, slots, nodes, nodes, problem.devices), problem.devices);
    const double found = evaluate(problem, hierarchical).objective;
    if (found < objective) {
      objective = found;
      best = std::move(hierarchical);
      run.note_objective(objective);
    }
  }
  return {std::move(best), 0.0};
}

std::string unfit_eplb(const PlacementProblem& problem) {
  if (!problem.expert_of_item.empty()) {
    return "it chooses the replicas itself";
  }
  if (!problem.forbidden.empty()) {
    return "it knows no pinned or forbidden experts";
  }
  if (std::ranges::any_of(problem.capacity,
                          [&](int slots) { return slots != problem.capacity.front(); })) {
    return "it needs equally many slots on every GPU";
  }
  if (problem.slots() != problem.experts + problem.redundant) {
    return "it fills every slot: " + std::to_string(problem.slots()) + " slots are not " +
           std::to_string(problem.experts) + " experts and " + std::to_string(problem.redundant) +
           " redundant replicas";
  }
  return {};
}

}  // namespace moesim
