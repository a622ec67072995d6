#include "placement/heuristics/homes.h"

#include <algorithm>

#include "placement/replication/replicas.h"
#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

// One layer under construction.
class LayerSlots {
 public:
  LayerSlots(const PlacementProblem& problem, const ExpertPlacement& placement)
      : problem_(problem),
        first_(placement.first_slot),
        next_(first_.begin(), first_.end() - 1),
        load_(at(problem.devices), 0.0),
        slots_(at(placement.slots()), -1) {}

  [[nodiscard]] bool has_room(int device) const {
    return next_[at(device)] < first_[at(device) + 1];
  }
  [[nodiscard]] bool holds(int device, int expert) const {
    const auto begin = slots_.begin() + first_[at(device)];
    const auto end = slots_.begin() + next_[at(device)];
    return std::find(begin, end, expert) != end;
  }
  void put(int device, int expert, double load) {
    slots_[at(next_[at(device)]++)] = expert;
    load_[at(device)] += load;
  }
  // The device on which a replica waits least; -1 if none can take it.
  [[nodiscard]] int least_loaded(int layer, int expert) const {
    int best = -1;
    for (int g = 0; g < problem_.devices; ++g) {
      if (has_room(g) && !holds(g, expert) && problem_.allowed(layer, expert, g) &&
          (best < 0 || load_[at(g)] < load_[at(best)])) {
        best = g;
      }
    }
    return best;
  }
  // The rule's device or the next one with room.
  [[nodiscard]] int next_with_room(int wanted) const {
    int g = wanted;
    while (!has_room(g)) {
      g = (g + 1) % problem_.devices;
    }
    return g;
  }
  std::vector<std::int32_t> take() { return std::move(slots_); }

 private:
  const PlacementProblem& problem_;
  const std::vector<int>& first_;
  std::vector<int> next_;
  std::vector<double> load_;
  std::vector<std::int32_t> slots_;
};

std::vector<std::int32_t> fill_layer(const PlacementProblem& problem, int layer,
                                     std::span<const int> homes, const ExpertPlacement& placement) {
  const auto& load = problem.loads[at(layer)];
  const std::vector<int> count = water_filling_counts(load, problem.experts + problem.redundant,
                                                      replica_limits(problem, layer));
  LayerSlots slots(problem, placement);
  std::vector<int> replicas;  // the expert of each
  for (int e = 0; e < problem.experts; ++e) {
    const int device = slots.next_with_room(homes[at(e)]);
    slots.put(device, e, load[at(e)] / count[at(e)]);
    replicas.insert(replicas.end(), at(count[at(e)] - 1), e);
  }
  std::ranges::stable_sort(replicas, [&](int a, int b) {
    return load[at(a)] / count[at(a)] > load[at(b)] / count[at(b)];
  });
  for (const int e : replicas) {
    const int device = slots.least_loaded(layer, e);
    // Where no device is left without a twin: beside one, parted below.
    slots.put(device >= 0 ? device : slots.next_with_room(0), e, load[at(e)] / count[at(e)]);
  }
  return slots.take();
}

}  // namespace

ExpertPlacement place_at_homes(const PlacementProblem& problem, std::span<const int> homes) {
  ExpertPlacement placement;
  placement.experts = problem.experts;
  placement.devices = problem.devices;
  placement.first_slot.push_back(0);
  for (const int slots : problem.capacity) {
    placement.first_slot.push_back(placement.first_slot.back() + slots);
  }
  for (int l = 0; l < problem.layers; ++l) {
    placement.slot_expert.push_back(fill_layer(problem, l, homes, placement));
  }
  if (problem.redundant > 0 || !problem.forbidden.empty()) {
    return apart_where_possible(problem, placement);
  }
  return placement;
}

SolverAnswer solve_contiguous(const PlacementProblem& problem, SolverRun& /*run*/) {
  return {.placement = place_at_homes(problem, contiguous_homes(problem))};
}
SolverAnswer solve_round_robin(const PlacementProblem& problem, SolverRun& /*run*/) {
  return {.placement = place_at_homes(problem, round_robin_homes(problem))};
}

}  // namespace moesim
