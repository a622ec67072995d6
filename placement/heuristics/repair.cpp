// Forbidden devices and twins: exchanges first; then, for forbidden devices alone, a matching.
#include <functional>

#include "placement/heuristics/heuristics.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

// One exchange that puts the item right and nothing else wrong.
bool exchange(SearchState& state, int layer, int item) {
  for (int other = 0; other < state.places(); ++other) {
    if (state.device(layer, other) != state.device(layer, item) &&
        state.swap_allowed(layer, item, other)) {
      state.swap(layer, item, other);
      return true;
    }
  }
  return false;
}

bool any_forbidden(const SearchState& state, int layer) {
  for (int i = 0; i < state.problem().experts; ++i) {
    if (!state.problem().allowed(layer, i, state.device(layer, i))) {
      return true;
    }
  }
  return false;
}

// Items to allowed slots by augmenting paths (Kuhn). False if there is no such assignment.
bool match(const PlacementProblem& items, int layer, Assignment& devices) {
  std::vector<int> device_of_slot;
  for (int g = 0; g < items.devices; ++g) {
    device_of_slot.insert(device_of_slot.end(), at(items.capacity[at(g)]), g);
  }
  std::vector<int> item_of_slot(device_of_slot.size(), -1);
  std::vector<char> seen;
  const std::function<bool(int)> place = [&](int item) {
    for (std::size_t s = 0; s < device_of_slot.size(); ++s) {
      if (seen[s] == 0 && items.allowed(layer, item, device_of_slot[s])) {
        seen[s] = 1;
        if (item_of_slot[s] < 0 || place(item_of_slot[s])) {
          item_of_slot[s] = item;
          return true;
        }
      }
    }
    return false;
  };
  for (int i = 0; i < items.experts; ++i) {
    seen.assign(device_of_slot.size(), 0);
    if (!place(i)) {
      return false;
    }
  }
  for (std::size_t s = 0; s < item_of_slot.size(); ++s) {
    if (item_of_slot[s] >= 0) {
      devices[at(layer) * at(items.experts) + at(item_of_slot[s])] = device_of_slot[s];
    }
  }
  return true;
}

}  // namespace

bool repair(const PlacementProblem& items, Assignment& devices) {
  if (items.forbidden.empty() && items.expert_of_item.empty()) {
    return true;
  }
  PlacementProblem quiet = items;  // rules matter here, traffic does not
  quiet.comm = CommModel::none;
  quiet.transitions.clear();
  quiet.token_sets.clear();
  SearchState state(quiet, devices);
  bool sound = true;
  for (int l = 0; l < items.layers; ++l) {
    for (int i = 0; i < items.experts; ++i) {
      if (state.misplaced(l, i)) {
        exchange(state, l, i);
      }
    }
  }
  devices = state.assignment();
  for (int l = 0; l < items.layers; ++l) {
    if (any_forbidden(state, l)) {
      sound = match(items, l, devices) && sound;
    }
  }
  return sound;
}

}  // namespace moesim
