#include "placement/diff.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

// [expert] -> devices that hold it, ascending, each once.
std::vector<std::vector<int>> holders_of(const ExpertPlacement& placement, std::size_t layer) {
  std::vector<std::vector<int>> holders(at(placement.experts));
  for (int g = 0; g < placement.devices; ++g) {
    for (int s = placement.first_slot[at(g)]; s < placement.first_slot[at(g) + 1]; ++s) {
      const std::int32_t e = placement.slot_expert[layer][at(s)];
      if (e >= 0 && (holders[at(e)].empty() || holders[at(e)].back() != g)) {
        holders[at(e)].push_back(g);
      }
    }
  }
  return holders;
}

// Copies through each port of each device.
struct Ports {
  std::vector<int> intra_sent, intra_received, inter_sent, inter_received;

  explicit Ports(int devices)
      : intra_sent(at(devices), 0),
        intra_received(at(devices), 0),
        inter_sent(at(devices), 0),
        inter_received(at(devices), 0) {}

  [[nodiscard]] double seconds(const MoveCost& cost) const {
    const auto busiest = [](const std::vector<int>& a, const std::vector<int>& b) {
      return static_cast<double>(
          std::max(*std::ranges::max_element(a), *std::ranges::max_element(b)));
    };
    double longest = 0.0;
    if (cost.intra_bandwidth > 0.0) {
      longest = busiest(intra_sent, intra_received) * cost.expert_bytes / cost.intra_bandwidth;
    }
    if (cost.inter_bandwidth > 0.0) {
      longest = std::max(
          longest, busiest(inter_sent, inter_received) * cost.expert_bytes / cost.inter_bandwidth);
    }
    return longest;
  }
};

// The device that sends an expert to `to`.
int source_of(const std::vector<int>& holders, int to, const MoveCost& cost, const Ports& ports) {
  int best = -1;
  bool best_near = false;
  for (const int g : holders) {
    const bool near = g / cost.devices_per_node == to / cost.devices_per_node;
    const std::vector<int>& sent = near ? ports.intra_sent : ports.inter_sent;
    if (best < 0 || (near && !best_near) || (near == best_near && sent[at(g)] < sent[at(best)])) {
      best = g;
      best_near = near;
    }
  }
  return best;
}

void add(LayerMoves& total, const LayerMoves& layer) {
  total.kept += layer.kept;
  total.loaded += layer.loaded;
  total.dropped += layer.dropped;
  total.across_nodes += layer.across_nodes;
}

void check_same_shape(const ExpertPlacement& before, const ExpertPlacement& after,
                      const std::string& where) {
  if (before.experts != after.experts || before.slot_expert.size() != after.slot_expert.size()) {
    throw ConfigError(where, "the first placement has " + std::to_string(before.experts) +
                                 " experts in " + std::to_string(before.slot_expert.size()) +
                                 " layers, the second " + std::to_string(after.experts) + " in " +
                                 std::to_string(after.slot_expert.size()) +
                                 "; give two placements of one model");
  }
}

}  // namespace

PlacementDiff diff_placements(const ExpertPlacement& before, const ExpertPlacement& after,
                              const MoveCost& cost, const std::string& where) {
  check_same_shape(before, after, where);
  ensure(cost.devices_per_node > 0 && cost.expert_bytes >= 0.0 && cost.intra_bandwidth >= 0.0 &&
             cost.inter_bandwidth >= 0.0,
         "costs of moves are not negative");
  const int devices = std::max(before.devices, after.devices);
  PlacementDiff diff;
  diff.loaded.assign(at(devices), 0);
  diff.dropped.assign(at(devices), 0);
  Ports ports(devices);
  for (std::size_t l = 0; l < before.slot_expert.size(); ++l) {
    const auto old_holders = holders_of(before, l);
    const auto new_holders = holders_of(after, l);
    LayerMoves layer;
    const std::size_t first = diff.moves.size();
    for (int e = 0; e < before.experts; ++e) {
      const std::vector<int>& had = old_holders[at(e)];
      ensure(!had.empty(), "every expert is somewhere before it moves");
      for (const int g : had) {
        if (!std::ranges::binary_search(new_holders[at(e)], g)) {
          ++layer.dropped;
          ++diff.dropped[at(g)];
        }
      }
      for (const int g : new_holders[at(e)]) {
        if (std::ranges::binary_search(had, g)) {
          ++layer.kept;
          continue;
        }
        const int from = source_of(had, g, cost, ports);
        const bool across = from / cost.devices_per_node != g / cost.devices_per_node;
        ++(across ? ports.inter_sent : ports.intra_sent)[at(from)];
        ++(across ? ports.inter_received : ports.intra_received)[at(g)];
        ++layer.loaded;
        layer.across_nodes += across ? 1 : 0;
        ++diff.loaded[at(g)];
        diff.moves.push_back({static_cast<int>(l), e, from, g, across});
      }
    }
    std::stable_sort(diff.moves.begin() + static_cast<std::ptrdiff_t>(first), diff.moves.end(),
                     [](const ExpertMove& a, const ExpertMove& b) { return a.to < b.to; });
    diff.layers.push_back(layer);
    add(diff.total, layer);
  }
  diff.bytes = diff.total.loaded * cost.expert_bytes;
  diff.inter_bytes = diff.total.across_nodes * cost.expert_bytes;
  diff.intra_bytes = (diff.total.loaded - diff.total.across_nodes) * cost.expert_bytes;
  diff.seconds = ports.seconds(cost);
  return diff;
}

}  // namespace moesim
