// The current placement, changed a little: as long as that makes a layer's busiest device clearly
// less busy, one of its experts is exchanged with another device's, or gets a replica in a slot
// whose expert has several. Adopted when the gain pays for the moves, as `threshold` does.
#include <algorithm>
#include <optional>

#include "placement/rebalance/rebalance_policies.h"
#include "sim/core/index.h"

namespace moesim::rebalance {
namespace {

// A change must take this share of the mean load off the busiest device.
constexpr double k_least_gain = 0.005;

// One layer; replicas of an expert share its load equally.
class LayerRepair {
 public:
  LayerRepair(const PlacementProblem& problem, const ExpertPlacement& placement, int layer,
              const std::vector<double>& loads)
      : problem_(problem),
        layer_(layer),
        loads_(loads),
        slot_(placement.slot_expert[at(layer)]),
        slots_of_(loads.size()),
        load_(at(problem.devices), 0.0) {
    for (int g = 0; g < placement.devices; ++g) {
      for (int s = placement.first_slot[at(g)]; s < placement.first_slot[at(g) + 1]; ++s) {
        device_.push_back(g);
        if (slot_[at(s)] >= 0) {
          slots_of_[at(slot_[at(s)])].push_back(at(s));
        }
      }
    }
    for (std::size_t s = 0; s < slot_.size(); ++s) {
      if (slot_[s] >= 0) {
        load_[at(device_[s])] += share(slot_[s]) * problem_.slowness_of(device_[s]);
      }
    }
  }

  std::vector<std::int32_t> repaired() {
    double mean = 0.0;
    for (const double load : loads_) {
      mean += load / problem_.devices;
    }
    // Every change makes the busiest device less busy and none as busy as it was, so they end; the
    // bound is for rounding.
    for (std::size_t step = 0; step < 4 * slot_.size(); ++step) {
      const auto hot = static_cast<int>(std::ranges::max_element(load_) - load_.begin());
      const std::optional<Change> change = best_change(hot);
      if (!change || change->worst > load_[at(hot)] - k_least_gain * mean) {
        break;
      }
      put(change->t, slot_[change->s]);
      put(change->s, change->expert);
    }
    return slot_;
  }

 private:
  // Slot t takes what is in slot s, which takes `expert`.
  struct Change {
    std::size_t s = 0;
    std::size_t t = 0;
    std::int32_t expert = 0;
    double worst = 0.0;  // load of the busiest of the devices that it changes
  };

  [[nodiscard]] double share(std::int32_t expert) const {
    return loads_[at(expert)] / static_cast<double>(slots_of_[at(expert)].size());
  }

  // Adds a share of the expert's load for each of its slots.
  void add(std::vector<double>& load, std::int32_t expert, double each) const {
    for (const std::size_t s : slots_of_[at(expert)]) {
      load[at(device_[s])] += each * problem_.slowness_of(device_[s]);
    }
  }

  void put(std::size_t slot, std::int32_t expert) {
    const std::int32_t old = slot_[slot];
    if (old == expert) {
      return;
    }
    add(load_, old, -share(old));
    add(load_, expert, -(slots_of_[at(expert)].empty() ? 0.0 : share(expert)));
    std::erase(slots_of_[at(old)], slot);
    slots_of_[at(expert)].push_back(slot);
    slot_[slot] = expert;
    if (!slots_of_[at(old)].empty()) {
      add(load_, old, share(old));
    }
    add(load_, expert, share(expert));
  }

  [[nodiscard]] bool may_hold(std::size_t slot, std::int32_t expert) const {
    return problem_.allowed(layer_, expert, device_[slot]) &&
           std::ranges::none_of(slots_of_[at(expert)], [&](std::size_t other) {
             return other != slot && device_[other] == device_[slot];
           });
  }

  // Busiest of the two devices after an exchange.
  [[nodiscard]] double after_exchange(std::size_t s, std::size_t t) const {
    const double less = share(slot_[s]) - share(slot_[t]);
    return std::max(load_[at(device_[s])] - less * problem_.slowness_of(device_[s]),
                    load_[at(device_[t])] + less * problem_.slowness_of(device_[t]));
  }

  // Busiest of all devices with either expert, after slot t has taken what slot s holds too.
  [[nodiscard]] double after_replica(std::size_t s, std::size_t t) const {
    const std::int32_t e = slot_[s];
    const std::int32_t other = slot_[t];
    const double e_less =
        share(e) - loads_[at(e)] / (static_cast<double>(slots_of_[at(e)].size()) + 1);
    const double other_more =
        loads_[at(other)] / (static_cast<double>(slots_of_[at(other)].size()) - 1) - share(other);
    const auto change_at = [&](int g) {
      double change = 0.0;
      for (const std::size_t slot : slots_of_[at(e)]) {
        change -= device_[slot] == g ? e_less : 0.0;
      }
      for (const std::size_t slot : slots_of_[at(other)]) {
        change += device_[slot] == g && slot != t ? other_more : 0.0;
      }
      if (device_[t] == g) {
        change += share(e) - e_less - share(other);
      }
      return change * problem_.slowness_of(g);
    };
    double worst = load_[at(device_[s])] + change_at(device_[s]);
    for (const std::int32_t expert : {e, other}) {
      for (const std::size_t slot : slots_of_[at(expert)]) {
        worst = std::max(worst, load_[at(device_[slot])] + change_at(device_[slot]));
      }
    }
    return worst;
  }

  [[nodiscard]] std::optional<Change> best_change(int hot) const {
    std::optional<Change> best;
    const auto consider = [&](const Change& change) {
      if (!best || change.worst < best->worst) {
        best = change;
      }
    };
    for (std::size_t s = 0; s < slot_.size(); ++s) {
      if (device_[s] != hot || slot_[s] < 0) {
        continue;
      }
      for (std::size_t t = 0; t < slot_.size(); ++t) {
        const std::int32_t other = slot_[t];
        if (device_[t] == hot || other < 0 || other == slot_[s] || !may_hold(t, slot_[s])) {
          continue;
        }
        if (share(other) < share(slot_[s]) && may_hold(s, other)) {
          consider({s, t, other, after_exchange(s, t)});
        }
        if (slots_of_[at(other)].size() > 1) {
          consider({s, t, slot_[s], after_replica(s, t)});
        }
      }
    }
    return best;
  }

  const PlacementProblem& problem_;
  int layer_;
  const std::vector<double>& loads_;
  std::vector<std::int32_t> slot_;
  std::vector<int> device_;                         // [slot]
  std::vector<std::vector<std::size_t>> slots_of_;  // [expert]
  std::vector<double> load_;                        // [device], slowness included
};

}  // namespace

std::vector<int> plan_few_moves(RebalanceStudy& study) {
  return plan_forward(study, [](const PastView& past) {
    const auto loads = past.remembered_loads();
    ExpertPlacement changed = past.placement(past.current());
    for (std::size_t l = 0; l < loads.size(); ++l) {
      changed.slot_expert[l] =
          LayerRepair(past.problem(), past.placement(past.current()), static_cast<int>(l), loads[l])
              .repaired();
    }
    const int proposal = past.adopt(std::move(changed));
    return past.pays(proposal) ? proposal : past.current();
  });
}

}  // namespace moesim::rebalance
