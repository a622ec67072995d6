// Replicas over nodes: a token that finds a replica in its own node need not leave it. Alike
// devices may exchange all they hold without changing any load, so spreading costs nothing.
#include <algorithm>

#include "placement/replication/replicas.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

class LayerSpread {
 public:
  LayerSpread(const PlacementProblem& problem, const ExpertPlacement& placement,
              std::vector<std::int32_t>& slots)
      : p_(problem), first_(placement.first_slot), slots_(slots) {
    in_node_.assign(at(p_.experts) * at(p_.nodes()), 0);
    for (int g = 0; g < p_.devices; ++g) {
      count(g, p_.node_of(g), 1);
    }
  }

  // Exchanges of whole devices until none lets an expert reach more nodes.
  void run() {
    bool changed = true;
    while (changed) {
      changed = false;
      for (int a = 0; a < p_.devices; ++a) {
        for (int b = a + 1; b < p_.devices; ++b) {
          changed = (p_.node_of(a) != p_.node_of(b) && exchange_gains(a, b)) || changed;
        }
      }
    }
  }

 private:
  [[nodiscard]] std::span<std::int32_t> held(int g) const {
    return std::span(slots_).subspan(at(first_[at(g)]), at(first_[at(g) + 1] - first_[at(g)]));
  }
  int& copies(std::int32_t expert, int node) {
    return in_node_[at(expert) * at(p_.nodes()) + at(node)];
  }
  void count(int g, int node, int by) {
    for (const std::int32_t e : held(g)) {
      if (e >= 0) {
        copies(e, node) += by;
      }
    }
  }
  // How many (expert, node) pairs appear minus disappear when what g holds leaves one node for
  // another.
  int moved(int g, int from, int to) {
    int gain = 0;
    for (const std::int32_t e : held(g)) {
      if (e >= 0) {
        gain -= --copies(e, from) == 0 ? 1 : 0;
        gain += copies(e, to)++ == 0 ? 1 : 0;
      }
    }
    return gain;
  }
  bool exchange_gains(int a, int b) {
    const int here = p_.node_of(a);
    const int there = p_.node_of(b);
    if (moved(a, here, there) + moved(b, there, here) > 0) {
      std::ranges::swap_ranges(held(a), held(b));
      return true;
    }
    moved(a, there, here);
    moved(b, here, there);
    return false;
  }

  const PlacementProblem& p_;
  const std::vector<int>& first_;
  std::vector<std::int32_t>& slots_;
  std::vector<int> in_node_;  // [expert][node]: replicas
};

}  // namespace

ExpertPlacement spread_over_nodes(const PlacementProblem& problem,
                                  const ExpertPlacement& placement) {
  const bool alike = problem.forbidden.empty() && problem.slowness.empty() &&
                     std::ranges::all_of(problem.capacity, [&](int slots) {
                       return slots == problem.capacity.front();
                     });
  if (problem.redundant == 0 || problem.nodes() == 1 || problem.comm != CommModel::none || !alike) {
    return placement;
  }
  ExpertPlacement spread = placement;
  for (auto& slots : spread.slot_expert) {
    LayerSpread(problem, placement, slots).run();
  }
  return spread;
}

double replica_node_share(const PlacementProblem& problem, const ExpertPlacement& placement) {
  double reached = 0.0;
  double reachable = 0.0;
  for (const auto& slots : placement.slot_expert) {
    std::vector<int> replicas(at(problem.experts), 0);
    std::vector<char> in_node(at(problem.experts) * at(problem.nodes()), 0);
    for (int g = 0; g < problem.devices; ++g) {
      for (int s = placement.first_slot[at(g)]; s < placement.first_slot[at(g) + 1]; ++s) {
        if (const std::int32_t e = slots[at(s)]; e >= 0) {
          ++replicas[at(e)];
          in_node[at(e) * at(problem.nodes()) + at(problem.node_of(g))] = 1;
        }
      }
    }
    for (const int n : replicas) {
      reachable += std::min(n, problem.nodes());
    }
    reached += static_cast<double>(std::ranges::count(in_node, char{1}));
  }
  return reachable > 0.0 ? reached / reachable : 1.0;
}

}  // namespace moesim
