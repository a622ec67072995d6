#include "placement/heuristics/search_state.h"

#include <algorithm>
#include <numeric>

#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {
SearchState::SearchState(const PlacementProblem& problem, const Assignment& devices)
    : problem_(problem),
      places_(problem.slots()),
      devices_(at(problem.devices)),
      nodes_(at(problem.nodes())) {
  const auto layers = at(problem.layers);
  device_.assign(layers * at(places_), -1);
  items_on_.resize(layers * devices_);
  load_.assign(layers * devices_, 0.0);
  max_.assign(layers, 0.0);
  for (int l = 0; l < problem.layers; ++l) {
    mean_.push_back(std::max(problem.total_load(l) / problem.devices, 1e-300));
    std::vector<int> room = problem.capacity;
    for (int i = 0; i < problem.experts; ++i) {
      const int g = devices[affinity_row(l, i)];
      ensure(g >= 0 && --room[at(g)] >= 0, "an assignment respects the slots of its devices");
      device_[index(l, i)] = g;
      items_on_[at(l) * devices_ + at(g)].push_back(i);
      load_[at(l) * devices_ + at(g)] += item_load(l, i);
    }
    int dummy = problem.experts;
    for (int g = 0; g < problem.devices; ++g) {
      for (; room[at(g)] > 0; --room[at(g)]) {
        device_[index(l, dummy)] = g;
        items_on_[at(l) * devices_ + at(g)].push_back(dummy++);
      }
    }
    refresh_max(l);
  }
  if (!problem.expert_of_item.empty()) {
    for (const auto& experts : problem.expert_of_item) {
      for (const std::int32_t e : experts) {
        original_experts_ = std::max(original_experts_, e + 1);
      }
    }
    copies_.assign(layers * at(original_experts_) * devices_, 0);
    for (int l = 0; l < problem.layers; ++l) {
      for (int i = 0; i < problem.experts; ++i) {
        const std::int32_t e = problem.expert_of_item[at(l)][at(i)];
        ++copies_[(at(l) * at(original_experts_) + at(e)) * devices_ + at(device(l, i))];
      }
    }
  }
  if (problem.comm == CommModel::interlayer) {
    prepare_affinity();
  } else if (problem.comm == CommModel::dispatch) {
    prepare_tokens();
  }
}

void SearchState::refresh_max(int layer) {
  double most = 0.0;
  for (int g = 0; g < problem_.devices; ++g) {
    most = std::max(most, load(layer, g) * problem_.slowness_of(g));
  }
  max_[at(layer)] = most;
}

int SearchState::busiest(int layer) const {
  int best = 0;
  for (int g = 1; g < problem_.devices; ++g) {
    if (load(layer, g) * problem_.slowness_of(g) > load(layer, best) * problem_.slowness_of(best)) {
      best = g;
    }
  }
  return best;
}

double SearchState::objective() const {
  double total = 0.0;
  for (int l = 0; l < problem_.layers; ++l) {
    total += problem_.alpha * max_[at(l)];
  }
  if (problem_.comm == CommModel::interlayer) {
    double twice = 0.0;  // every pair is seen from both its ends
    for (int l = 0; l < problem_.layers; ++l) {
      for (int i = 0; i < problem_.experts; ++i) {
        twice += traffic_at(l, i, device(l, i));
      }
    }
    return total + twice / 2.0;
  }
  if (problem_.comm == CommModel::dispatch) {
    const PlacementProblem& p = problem_;
    const double leaves_device = (1.0 - 1.0 / p.devices_per_node) * p.c_intra;
    const double leaves_node = (1.0 - 1.0 / p.nodes()) * p.c_inter;
    double traffic = 0.0;
    std::vector<int> seen;
    for (int l = 0; l < p.layers; ++l) {
      const auto& ids = p.token_sets[at(l)];
      for (std::size_t t = 0; t < ids.size(); t += at(p.top_k)) {
        seen.clear();
        for (std::size_t i = t; i < t + at(p.top_k); ++i) {
          seen.push_back(device(l, ids[i]));
        }
        std::ranges::sort(seen);
        seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
        traffic += leaves_device * static_cast<double>(seen.size());
        int last = -1;
        for (const int g : seen) {
          traffic += p.node_of(g) != last ? leaves_node : 0.0;
          last = p.node_of(g);
        }
      }
    }
    return total + p.beta * traffic;
  }
  return total;
}

bool SearchState::twin_on(int layer, int item, int device) const {
  if (copies_.empty() || item >= problem_.experts) {
    return false;
  }
  const std::int32_t e = problem_.expert_of_item[at(layer)][at(item)];
  const int here = copies_[(at(layer) * at(original_experts_) + at(e)) * devices_ + at(device)];
  return here > (this->device(layer, item) == device ? 1 : 0);
}

bool SearchState::misplaced(int layer, int item) const {
  return item < problem_.experts && (!problem_.allowed(layer, item, device(layer, item)) ||
                                     twin_on(layer, item, device(layer, item)));
}

bool SearchState::swap_allowed(int layer, int a, int b) const {
  const int from = device(layer, a);
  const int to = device(layer, b);
  if (!problem_.forbidden.empty() &&
      ((a < problem_.experts && !problem_.allowed(layer, a, to)) ||
       (b < problem_.experts && !problem_.allowed(layer, b, from)))) {
    return false;
  }
  if (copies_.empty()) {
    return true;
  }
  const auto& experts = problem_.expert_of_item[at(layer)];
  if (a < problem_.experts && b < problem_.experts && experts[at(a)] == experts[at(b)]) {
    return false;  // would change nothing
  }
  return !twin_on(layer, a, to) && !twin_on(layer, b, from);
}

double SearchState::load_delta(int layer, int a, int b) const {
  const double moved = item_load(layer, a) - item_load(layer, b);
  if (moved == 0.0) {
    return 0.0;
  }
  const int from = device(layer, a);
  const int to = device(layer, b);
  const double from_after = (load(layer, from) - moved) * problem_.slowness_of(from);
  const double to_after = (load(layer, to) + moved) * problem_.slowness_of(to);
  const double most = max_[at(layer)];
  double after = std::max(from_after, to_after);
  if (after < most) {
    // Only when one of the two is the busiest device can the maximum fall.
    const bool involved = load(layer, from) * problem_.slowness_of(from) >= most ||
                          load(layer, to) * problem_.slowness_of(to) >= most;
    if (!involved) {
      return 0.0;
    }
    for (int g = 0; g < problem_.devices; ++g) {
      if (g != from && g != to) {
        after = std::max(after, load(layer, g) * problem_.slowness_of(g));
      }
    }
  }
  return problem_.alpha * (after - most);
}

double SearchState::square_delta(int layer, int a, int b) const {
  const int from = device(layer, a);
  const int to = device(layer, b);
  const double moved = item_load(layer, a) - item_load(layer, b);
  const double s = problem_.slowness_of(from);
  const double t = problem_.slowness_of(to);
  // (x - m)^2 s^2 - x^2 s^2 + (y + m)^2 t^2 - y^2 t^2
  return problem_.alpha / (2.0 * mean_[at(layer)]) * moved *
         (s * s * (moved - 2.0 * load(layer, from)) + t * t * (moved + 2.0 * load(layer, to)));
}

void SearchState::swap(int layer, int a, int b) {
  const int from = device(layer, a);
  const int to = device(layer, b);
  auto& here = items_on_[at(layer) * devices_ + at(from)];
  auto& there = items_on_[at(layer) * devices_ + at(to)];
  *std::ranges::find(here, a) = b;
  *std::ranges::find(there, b) = a;
  device_[index(layer, a)] = to;
  device_[index(layer, b)] = from;
  for (const int g : {from, to}) {  // summed anew: errors do not pile up over millions of swaps
    double sum = 0.0;
    for (const std::int32_t item : items_on(layer, g)) {
      sum += item_load(layer, item);
    }
    load_[at(layer) * devices_ + at(g)] = sum;
  }
  refresh_max(layer);
  const auto moved = [&](int item, int left, int joined) {
    if (item >= problem_.experts) {
      return;
    }
    if (!copies_.empty()) {
      const std::int32_t e = problem_.expert_of_item[at(layer)][at(item)];
      const std::size_t row = (at(layer) * at(original_experts_) + at(e)) * devices_;
      --copies_[row + at(left)];
      ++copies_[row + at(joined)];
    }
    if (!device_affinity_.empty()) {
      move_affinity(layer, item, left, joined);
    }
  };
  moved(a, from, to);
  moved(b, to, from);
}

Assignment SearchState::assignment() const {
  Assignment devices;
  for (int l = 0; l < problem_.layers; ++l) {
    for (int i = 0; i < problem_.experts; ++i) {
      devices.push_back(device(l, i));
    }
  }
  return devices;
}

}  // namespace moesim
