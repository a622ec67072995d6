#include "placement/programs/lns.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "placement/heuristics/item_objective.h"
#include "placement/programs/milp_model.h"
#include "sim/core/error.h"
#include "sim/core/index.h"
#include "sim/core/rng.h"

namespace moesim {
namespace {

constexpr std::size_t k_most_binaries = 200;  // about half a second of CBC (measured)
constexpr std::size_t k_most_devices = 4;
constexpr std::int64_t k_nodes = 300;
constexpr int k_rounds_per_layer = 4;

class Polish {
 public:
  Polish(const PlacementProblem& problem, Assignment devices, SolverRun& run)
      : p_(problem),
        devices_(std::move(devices)),
        run_(run),
        rng_(RngStreams(run.options().seed).stream("lns")),
        objective_(item_objective(problem, devices_)) {}

  Assignment solve(int rounds) {
    int idle = 0;  // neighbourhoods in a row that were known already
    for (int round = 0; round < rounds && !run_.stopped();) {
      const int layer = static_cast<int>(rng_.below(at(p_.layers)));
      const std::vector<int> group = choose_devices(layer);
      if (group.size() < 2 || settled_.contains({layer, group})) {
        if (++idle > 20 * p_.layers) {
          break;
        }
        continue;
      }
      idle = 0;
      ++round;
      improve(layer, group);
    }
    return std::move(devices_);
  }

 private:
  [[nodiscard]] int device(int layer, int item) const {
    return devices_[at(layer) * at(p_.experts) + at(item)];
  }

  // The busiest device with a few others at random, sorted; or, every other time, any.
  std::vector<int> choose_devices(int layer) {
    std::vector<double> busy(at(p_.devices), 0.0);
    std::vector<std::size_t> count(at(p_.devices), 0);
    for (int i = 0; i < p_.experts; ++i) {
      busy[at(device(layer, i))] += p_.slowness_of(device(layer, i)) * p_.loads[at(layer)][at(i)];
      ++count[at(device(layer, i))];
    }
    std::vector<int> order(at(p_.devices));
    std::iota(order.begin(), order.end(), 0);
    shuffle(std::span(order), rng_);
    if (rng_.below(2) == 0) {
      const auto busiest =
          std::ranges::max_element(order, [&](int a, int b) { return busy[at(a)] < busy[at(b)]; });
      std::iter_swap(order.begin(), busiest);
    }
    const std::size_t wanted = 2 + rng_.below(k_most_devices - 1);
    std::vector<int> group;
    std::size_t items = 0;
    for (const int g : order) {
      items += count[at(g)];
      if (group.size() >= wanted ||
          (group.size() >= 2 && items * (group.size() + 1) > k_most_binaries)) {
        break;
      }
      group.push_back(g);
    }
    std::ranges::sort(group);
    return group;
  }

  // Traffic cost of an item of `layer` on each device of the group, neighbours fixed.
  [[nodiscard]] std::vector<double> traffic_of(int layer, int item,
                                               const std::vector<int>& group) const {
    std::vector<double> cost(group.size(), 0.0);
    if (p_.comm != CommModel::interlayer) {
      return cost;
    }
    const int n = p_.experts;
    for (int other = 0; other < n; ++other) {
      for (std::size_t k = 0; k < group.size(); ++k) {
        if (layer > 0) {
          cost[k] += p_.beta * p_.transitions[at(layer - 1)][at(other * n + item)] *
                     p_.distance(device(layer - 1, other), group[k]);
        }
        if (layer + 1 < p_.layers) {
          cost[k] += p_.beta * p_.transitions[at(layer)][at(item * n + other)] *
                     p_.distance(group[k], device(layer + 1, other));
        }
      }
    }
    return cost;
  }

  void improve(int layer, const std::vector<int>& group) {
    std::vector<int> items;
    double outside = 0.0;  // busiest of the devices that stay as they are
    std::vector<double> busy(at(p_.devices), 0.0);
    for (int i = 0; i < p_.experts; ++i) {
      const int g = device(layer, i);
      busy[at(g)] += p_.loads[at(layer)][at(i)];
      if (std::ranges::binary_search(group, g)) {
        items.push_back(i);
      } else {
        outside = std::max(outside, p_.slowness_of(g) * busy[at(g)]);
      }
    }
    const MilpModel model = program(layer, group, items, outside);
    const MilpResult result = solve_milp(model, {.nodes = k_nodes}, run_);
    if (!result.values.empty()) {
      adopt(layer, group, items, result.values);
    }
    if (result.status == MilpStatus::optimal) {
      settled_.insert({layer, group});
    }
  }

  void adopt(int layer, const std::vector<int>& group, const std::vector<int>& items,
             const std::vector<double>& values) {
    Assignment trial = devices_;
    for (std::size_t i = 0; i < items.size(); ++i) {
      for (std::size_t k = 0; k < group.size(); ++k) {
        if (values[i * group.size() + k] > 0.5) {
          trial[at(layer) * at(p_.experts) + at(items[i])] = group[k];
        }
      }
    }
    const double before = layer_objective(p_, devices_, layer);
    const double after = layer_objective(p_, trial, layer);
    if (after < before * (1.0 - 1e-12)) {
      devices_ = std::move(trial);
      objective_ += after - before;
      run_.note_objective(objective_);
      std::erase_if(settled_, [&](const auto& known) {
        return known.first >= layer - 1 && known.first <= layer + 1;
      });
    }
  }

  [[nodiscard]] MilpModel program(int layer, const std::vector<int>& group,
                                  const std::vector<int>& items, double outside) const {
    MilpModel model;
    const auto& loads = p_.loads[at(layer)];
    const int width = static_cast<int>(group.size());
    for (const int item : items) {
      const std::vector<double> traffic = traffic_of(layer, item, group);
      const double least = *std::ranges::min_element(traffic);
      std::vector<MilpTerm> somewhere;
      for (std::size_t k = 0; k < group.size(); ++k) {
        somewhere.push_back({model.add_binary(traffic[k] - least), 1.0});
        model.upper.back() = p_.allowed(layer, item, group[k]) ? 1.0 : 0.0;
        model.start.push_back(device(layer, item) == group[k] ? 1.0 : 0.0);
      }
      model.add_row(1.0, 1.0, std::move(somewhere));
    }
    const double scale = power_of_two_below(p_.total_load(layer) / p_.devices);
    const int busiest = model.add_continuous(outside / scale, k_unbounded, p_.alpha * scale);
    double start = outside;
    for (int k = 0; k < width; ++k) {
      std::vector<MilpTerm> count;
      std::vector<MilpTerm> load{{busiest, -1.0}};
      double now = 0.0;
      for (std::size_t i = 0; i < items.size(); ++i) {
        const int x = static_cast<int>(i) * width + k;
        const double part = p_.slowness_of(group[at(k)]) * loads[at(items[i])];
        count.push_back({x, 1.0});
        load.push_back({x, part / scale});
        now += model.start[at(x)] * part;
      }
      start = std::max(start, now);
      const double room = p_.capacity[at(group[at(k)])];
      model.add_row(p_.exact_capacity ? room : 0.0, room, std::move(count));
      model.add_row(-k_unbounded, 0.0, std::move(load));
      keep_replicas_apart(layer, items, width, k, model);
    }
    model.start.push_back(start / scale);
    return model;
  }

  void keep_replicas_apart(int layer, const std::vector<int>& items, int width, int k,
                           MilpModel& model) const {
    if (p_.expert_of_item.empty()) {
      return;
    }
    const auto& expert = p_.expert_of_item[at(layer)];
    for (std::size_t i = 0; i < items.size(); ++i) {
      std::vector<MilpTerm> siblings;
      for (std::size_t j = i; j < items.size(); ++j) {
        if (expert[at(items[i])] == expert[at(items[j])]) {
          siblings.push_back({static_cast<int>(j) * width + k, 1.0});
        }
      }
      if (siblings.size() > 1) {
        model.add_row(0.0, 1.0, std::move(siblings));
      }
    }
  }

  const PlacementProblem& p_;
  Assignment devices_;
  SolverRun& run_;
  Rng rng_;
  double objective_;
  // Neighbourhoods that were solved to optimality and whose surroundings have not changed since.
  std::set<std::pair<int, std::vector<int>>> settled_;
};

}  // namespace

Assignment polish_lns(const PlacementProblem& problem, Assignment devices, SolverRun& run,
                      int rounds) {
  ensure(problem.comm != CommModel::dispatch, "neighbourhoods know no dispatch model");
  return Polish(problem, std::move(devices), run).solve(rounds);
}

SolverAnswer place_lns(const PlacementProblem& problem, SolverRun& run) {
  const int rounds = k_rounds_per_layer * problem.layers;
  return {placement_of(problem, polish_lns(problem, balanced_starts(problem), run, rounds)), 0.0};
}

std::string unfit_lns(const PlacementProblem& problem) {
  if (problem.redundant > 0) {
    return "it places one copy of every expert";
  }
  return problem.comm == CommModel::dispatch
             ? "the neighbourhoods' integer programs know no dispatch model"
             : "";
}

}  // namespace moesim
