#include <algorithm>
#include <numeric>

#include "placement/heuristics/heuristics.h"
#include "placement/heuristics/hungarian.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

constexpr double k_load_weight = 0.3;  // of load against traffic within a band

// The layer's own traffic with the layers around it, kept while the layer is filled anew.
class BandedLayers {
 public:
  explicit BandedLayers(const PlacementProblem& items)
      : items_(items), devices_(at(items.layers) * at(items.experts), -1) {}

  Assignment take() { return std::move(devices_); }

  void fill(int layer) {
    prepare_affinity(layer);
    const auto& load = items_.loads[at(layer)];
    std::vector<int> order(load.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, [&](int a, int b) { return load[at(a)] > load[at(b)]; });
    std::vector<double> sum(at(items_.devices), 0.0);
    std::vector<std::vector<std::int32_t>> held(at(items_.devices));
    std::size_t next = 0;
    for (int band = 0; next < order.size(); ++band) {
      std::vector<int> open;  // devices with a slot for this band
      for (int g = 0; g < items_.devices; ++g) {
        if (items_.capacity[at(g)] > band) {
          open.push_back(g);
        }
      }
      const std::size_t take = std::min(open.size(), order.size() - next);
      assign_band(layer, std::span(order).subspan(next, take), open, sum, held);
      next += take;
    }
  }

 private:
  // pairs_[item][device] weighted: what is saved when the item is there.
  void prepare_affinity(int layer) {
    const std::size_t experts = at(items_.experts);
    const std::size_t devices = at(items_.devices);
    saved_.assign(experts * devices, 0.0);
    if (items_.comm != CommModel::interlayer) {
      return;
    }
    std::vector<double> in_node(experts * at(items_.nodes()), 0.0);
    const auto add = [&](std::size_t item, std::int32_t device, double pairs) {
      saved_[item * devices + at(device)] += items_.c_intra * pairs;
      in_node[item * at(items_.nodes()) + at(items_.node_of(device))] +=
          (items_.c_inter - items_.c_intra) * pairs;
    };
    const std::int32_t* before = layer > 0 ? devices_.data() + (at(layer) - 1) * experts : nullptr;
    const std::int32_t* after =
        layer + 1 < items_.layers && devices_[(at(layer) + 1) * experts] >= 0
            ? devices_.data() + (at(layer) + 1) * experts
            : nullptr;
    for (std::size_t a = 0; a < experts; ++a) {
      for (std::size_t b = 0; b < experts; ++b) {
        if (before != nullptr) {
          add(b, before[a], items_.transitions[at(layer) - 1][a * experts + b]);
        }
        if (after != nullptr) {
          add(a, after[b], items_.transitions[at(layer)][a * experts + b]);
        }
      }
    }
    for (std::size_t item = 0; item < experts; ++item) {
      for (std::size_t g = 0; g < devices; ++g) {
        saved_[item * devices + g] +=
            in_node[item * at(items_.nodes()) + at(items_.node_of(static_cast<int>(g)))];
      }
    }
  }

  void assign_band(int layer, std::span<const int> band, const std::vector<int>& open,
                   std::vector<double>& sum, std::vector<std::vector<std::int32_t>>& held) {
    const auto& load = items_.loads[at(layer)];
    const std::size_t n = open.size();
    const double mean = std::max(items_.total_load(layer) / items_.devices, 1e-300);
    std::vector<double> cost(n * n, 0.0);  // rows beyond the band: nobody comes
    double largest = 0.0;
    for (std::size_t r = 0; r < band.size(); ++r) {
      for (std::size_t c = 0; c < n; ++c) {
        const std::size_t g = at(open[c]);
        const std::size_t i = at(band[r]);
        // load / mean is about 1 when the device is full: the pressure is in units of alpha * load.
        const double pressure = (sum[g] + load[i] / 2.0) / mean * items_.slowness_of(open[c]);
        cost[r * n + c] = k_load_weight * items_.alpha * load[i] * pressure -
                          items_.beta * saved_[i * at(items_.devices) + g];
        largest = std::max(largest, std::abs(cost[r * n + c]));
      }
    }
    const double never = (largest + 1.0) * (2.0 * static_cast<double>(n) + 1.0);
    for (std::size_t r = 0; r < band.size(); ++r) {
      for (std::size_t c = 0; c < n; ++c) {
        const bool twin =
            !items_.expert_of_item.empty() &&
            std::ranges::find(held[at(open[c])], items_.expert_of_item[at(layer)][at(band[r])]) !=
                held[at(open[c])].end();
        if (twin || !items_.allowed(layer, band[r], open[c])) {
          cost[r * n + c] = never;
        }
      }
    }
    const std::vector<int> column = cheapest_assignment(cost, n);
    for (std::size_t r = 0; r < band.size(); ++r) {
      const int g = open[at(column[r])];
      devices_[at(layer) * at(items_.experts) + at(band[r])] = g;
      sum[at(g)] += load[at(band[r])];
      if (!items_.expert_of_item.empty()) {
        held[at(g)].push_back(items_.expert_of_item[at(layer)][at(band[r])]);
      }
    }
  }

  const PlacementProblem& items_;
  Assignment devices_;
  std::vector<double> saved_;
};

}  // namespace

Assignment assign_banded(const PlacementProblem& items, int sweeps, const SolverRun& run) {
  BandedLayers layers(items);
  for (int sweep = 0; sweep < sweeps && (sweep == 0 || !run.stopped()); ++sweep) {
    for (int l = 0; l < items.layers; ++l) {
      layers.fill(l);
    }
  }
  Assignment devices = layers.take();
  return repair(items, devices) ? devices : Assignment{};
}

}  // namespace moesim
