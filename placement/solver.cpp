#include "placement/solver.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {
SolverRun::SolverRun(const SolveOptions& options)
    : options_(options), start_(std::chrono::steady_clock::now()) {}

double SolverRun::seconds() const {
  return options_.already_spent_s +
         std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

bool SolverRun::stopped() const {
  if (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed)) {
    return true;
  }
  return limited() && seconds_left() <= 0.0;
}

void SolverRun::note_objective(double objective) {
  const std::scoped_lock lock(mutex_);
  const double bound = history_.empty() ? 0.0 : history_.back().lower_bound;
  if (history_.empty() || history_.back().objective == 0.0 ||
      objective < history_.back().objective) {
    history_.push_back({seconds(), objective, bound});
  }
}

void SolverRun::note_bound(double lower_bound) {
  const std::scoped_lock lock(mutex_);
  const double objective = history_.empty() ? 0.0 : history_.back().objective;
  if (history_.empty() || lower_bound > history_.back().lower_bound) {
    history_.push_back({seconds(), objective, lower_bound});
  }
}

std::vector<ProgressPoint> SolverRun::history() const {
  const std::scoped_lock lock(mutex_);
  return history_;
}

ExpertPlacement placement_of(const PlacementProblem& items, const Assignment& devices) {
  ensure(devices.size() == at(items.layers) * at(items.experts), "every item has a device");
  ExpertPlacement placement;
  placement.devices = items.devices;
  placement.first_slot.push_back(0);
  for (const int slots : items.capacity) {
    placement.first_slot.push_back(placement.first_slot.back() + slots);
  }
  for (int l = 0; l < items.layers; ++l) {
    std::vector<std::int32_t> slots(at(placement.slots()), -1);
    std::vector<int> next(placement.first_slot.begin(), placement.first_slot.end() - 1);
    for (int i = 0; i < items.experts; ++i) {
      const int device = devices[at(l) * at(items.experts) + at(i)];
      ensure(device >= 0 && device < items.devices &&
                 next[at(device)] < placement.first_slot[at(device) + 1],
             "an assignment respects the slots of its devices");
      const std::int32_t expert =
          items.expert_of_item.empty() ? i : items.expert_of_item[at(l)][at(i)];
      slots[at(next[at(device)]++)] = expert;
      placement.experts = std::max(placement.experts, expert + 1);
    }
    placement.slot_expert.push_back(std::move(slots));
  }
  return placement;
}

ExpertPlacement trimmed(const ExpertPlacement& placement) {
  ExpertPlacement result{placement.experts, placement.devices, {0}, {}};
  std::vector<int> used;
  for (int g = 0; g < placement.devices; ++g) {
    int most = 0;
    for (const auto& slots : placement.slot_expert) {
      const auto begin = slots.begin() + placement.first_slot[at(g)];
      const auto end = slots.begin() + placement.first_slot[at(g) + 1];
      most = std::max(most, static_cast<int>(end - begin - std::count(begin, end, -1)));
    }
    result.first_slot.push_back(result.first_slot.back() + most);
  }
  for (const auto& slots : placement.slot_expert) {
    std::vector<std::int32_t> kept(at(result.slots()), -1);
    for (int g = 0; g < placement.devices; ++g) {
      int next = result.first_slot[at(g)];
      for (int s = placement.first_slot[at(g)]; s < placement.first_slot[at(g) + 1]; ++s) {
        if (slots[at(s)] >= 0) {
          kept[at(next++)] = slots[at(s)];
        }
      }
    }
    result.slot_expert.push_back(std::move(kept));
  }
  return result;
}

Assignment assignment_of_items(const PlacementProblem& items, const ExpertPlacement& placement) {
  Assignment devices(at(items.layers) * at(items.experts), -1);
  for (int l = 0; l < items.layers; ++l) {
    // Items of a layer are in expert order: the next item of every expert.
    std::vector<int> next(at(placement.experts), -1);
    for (int i = items.experts - 1; i >= 0; --i) {
      next[at(items.expert_of_item.empty() ? i : items.expert_of_item[at(l)][at(i)])] = i;
    }
    for (int g = 0; g < placement.devices; ++g) {
      for (int s = placement.first_slot[at(g)]; s < placement.first_slot[at(g) + 1]; ++s) {
        const std::int32_t e = placement.slot_expert[at(l)][at(s)];
        if (e >= 0) {
          const int item = next[at(e)]++;
          ensure(item >= 0 && item < items.experts, "a placement has the problem's replicas");
          std::int32_t& device = devices[at(l) * at(items.experts) + at(item)];
          ensure(device < 0, "a placement has the problem's replicas");
          device = g;
        }
      }
    }
  }
  return devices;
}

}  // namespace moesim
