#include "placement/heuristics/transport.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

constexpr double k_infinite = std::numeric_limits<double>::infinity();

class Transport {
 public:
  Transport(std::span<const double> costs, std::span<const int> room)
      : costs_(costs),
        room_(room.begin(), room.end()),
        bins_(room.size()),
        items_(costs.size() / room.size()),
        bin_of_(items_, -1) {}

  // Puts one more item in, moving others along the cheapest chain of bins. False: it does not fit.
  bool insert(std::size_t item) {
    find_moves();
    std::vector<double> distance(costs_.begin() + static_cast<std::ptrdiff_t>(item * bins_),
                                 costs_.begin() + static_cast<std::ptrdiff_t>((item + 1) * bins_));
    std::vector<int> previous(bins_, -1);
    // Bellman-Ford: moves may gain, but no cycle of them does.
    for (std::size_t pass = 0, changed = 1; changed != 0 && pass < bins_; ++pass) {
      changed = 0;
      for (std::size_t from = 0; from < bins_; ++from) {
        for (std::size_t to = 0; distance[from] < k_infinite && to < bins_; ++to) {
          const double through = distance[from] + move_cost_[from * bins_ + to];
          if (through < distance[to] - 1e-12 * (1.0 + std::abs(through))) {
            distance[to] = through;
            previous[to] = static_cast<int>(from);
            changed = 1;
          }
        }
      }
    }
    int bin = -1;
    for (std::size_t b = 0; b < bins_; ++b) {
      if (room_[b] > 0 && distance[b] < k_infinite &&
          (bin < 0 || distance[b] < distance[at(bin)])) {
        bin = static_cast<int>(b);
      }
    }
    if (bin < 0) {
      return false;
    }
    --room_[at(bin)];
    std::size_t steps = 0;
    for (; previous[at(bin)] >= 0; bin = previous[at(bin)]) {
      ensure(++steps <= bins_, "chains of moves have no cycles");
      const auto from = at(previous[at(bin)]);
      bin_of_[at(mover_[from * bins_ + at(bin)])] = bin;
    }
    bin_of_[item] = bin;
    return true;
  }

  [[nodiscard]] std::vector<int> take() { return std::move(bin_of_); }

 private:
  // The cheapest item to move from each bin to each other one.
  void find_moves() {
    move_cost_.assign(bins_ * bins_, k_infinite);
    mover_.assign(bins_ * bins_, -1);
    for (std::size_t i = 0; i < items_; ++i) {
      if (bin_of_[i] < 0) {
        continue;
      }
      const std::size_t from = at(bin_of_[i]);
      for (std::size_t to = 0; to < bins_; ++to) {
        const double cost = costs_[i * bins_ + to] - costs_[i * bins_ + from];
        if (to != from && cost < move_cost_[from * bins_ + to]) {
          move_cost_[from * bins_ + to] = cost;
          mover_[from * bins_ + to] = static_cast<int>(i);
        }
      }
    }
  }

  std::span<const double> costs_;
  std::vector<int> room_;
  std::size_t bins_;
  std::size_t items_;
  std::vector<int> bin_of_;
  std::vector<double> move_cost_;
  std::vector<int> mover_;
};

bool holds_sibling(const PlacementProblem& problem, int layer, const std::vector<int>& device,
                   int item, int g) {
  if (problem.expert_of_item.empty()) {
    return false;
  }
  const auto& expert = problem.expert_of_item[at(layer)];
  for (std::size_t i = 0; i < device.size(); ++i) {
    if (device[i] == g && expert[i] == expert[at(item)]) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::vector<int> transport(std::span<const double> costs, std::span<const int> room) {
  ensure(!room.empty() && costs.size() % room.size() == 0, "costs of every item in every bin");
  Transport transport(costs, room);
  for (std::size_t i = 0; i < costs.size() / room.size(); ++i) {
    if (!transport.insert(i)) {
      return {};
    }
  }
  return transport.take();
}

std::vector<int> balanced_start(const PlacementProblem& problem, int layer) {
  const auto& loads = problem.loads[at(layer)];
  std::vector<int> order(loads.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int a, int b) { return loads[at(a)] > loads[at(b)]; });
  std::vector<int> device(loads.size(), -1);
  std::vector<int> room = problem.capacity;
  std::vector<double> busy(at(problem.devices), 0.0);
  for (const int item : order) {
    int best = -1;
    double least = k_infinite;
    for (int g = 0; g < problem.devices; ++g) {
      const double then = problem.slowness_of(g) * (busy[at(g)] + loads[at(item)]);
      if (room[at(g)] > 0 && then < least && problem.allowed(layer, item, g) &&
          !holds_sibling(problem, layer, device, item, g)) {
        best = g;
        least = then;
      }
    }
    if (best < 0) {
      break;  // a dead end
    }
    device[at(item)] = best;
    busy[at(best)] += loads[at(item)];
    --room[at(best)];
  }
  if (std::ranges::find(device, -1) == device.end()) {
    return device;
  }
  // Feasible, close to what greed had found; replicas are kept apart only by luck.
  std::vector<double> costs;
  for (int item = 0; item < problem.experts; ++item) {
    for (int g = 0; g < problem.devices; ++g) {
      costs.push_back(!problem.allowed(layer, item, g) ? k_infinite
                      : device[at(item)] == g          ? 0.0
                                                       : 1.0);
    }
  }
  device = transport(costs, problem.capacity);
  ensure(!device.empty(), "a layer's experts fit into its slots");
  return device;
}

}  // namespace moesim
