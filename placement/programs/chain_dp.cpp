#include "placement/programs/chain_dp.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

#include "placement/heuristics/search_state.h"
#include "sim/core/error.h"
#include "sim/core/index.h"
#include "sim/core/thread_pool.h"

namespace moesim {
namespace {

constexpr double k_infinity = std::numeric_limits<double>::infinity();
constexpr double k_most_states = 200000.0;

// Number of ways to put the items of a layer into slots: product of multinomials over capacities.
double state_count(const PlacementProblem& items) {
  // ways[n]: ways to choose which n items are placed on the devices so far.
  std::vector<double> ways(at(items.experts) + 1, 0.0);
  ways[0] = 1.0;
  for (const int capacity : items.capacity) {
    std::vector<double> next(ways.size(), 0.0);
    for (int n = 0; n <= items.experts; ++n) {
      double choose = 1.0;  // of the remaining items, k go to this device
      for (int k = 0; k <= std::min(capacity, items.experts - n); ++k) {
        next[at(n + k)] += ways[at(n)] * choose;
        choose *= static_cast<double>(items.experts - n - k) / (k + 1);
      }
    }
    ways = std::move(next);
  }
  return ways.back();
}

bool devices_alike(const PlacementProblem& p) {
  return p.forbidden.empty() &&
         std::ranges::all_of(p.capacity, [&](int c) { return c == p.capacity.front(); }) &&
         std::ranges::all_of(p.slowness, [&](double s) { return s == p.slowness.front(); });
}

using State = std::vector<std::int8_t>;  // item -> device

// All states, and for each the class representative and the renaming that leads there.
class States {
 public:
  explicit States(const PlacementProblem& p) : p_(p), alike_(devices_alike(p)) {
    State state(at(p.experts), -1);
    std::vector<int> room = p.capacity;
    list(state, room, 0);
    std::map<State, int> class_of;
    for (const State& s : all_) {
      const State first = renamed(s, renaming(s));
      const auto [entry, added] = class_of.emplace(first, static_cast<int>(representative_.size()));
      if (added) {
        representative_.push_back(0);
      }
      class_.push_back(entry->second);
      if (s == first) {
        representative_[at(entry->second)] = static_cast<int>(class_.size()) - 1;
      }
    }
  }

  [[nodiscard]] int size() const { return static_cast<int>(all_.size()); }
  [[nodiscard]] int classes() const { return static_cast<int>(representative_.size()); }
  [[nodiscard]] const State& state(int s) const { return all_[at(s)]; }
  [[nodiscard]] int class_of(int s) const { return class_[at(s)]; }
  [[nodiscard]] const State& representative(int c) const {
    return all_[at(representative_[at(c)])];
  }

  // Old device -> new device: nodes in order of their first item, devices likewise in their node.
  [[nodiscard]] std::vector<int> renaming(const State& s) const {
    std::vector<int> to(at(p_.devices), -1);
    if (!alike_) {
      std::iota(to.begin(), to.end(), 0);
      return to;
    }
    std::vector<int> node(at(p_.nodes()), -1);
    std::vector<int> used(at(p_.nodes()), 0);
    int nodes = 0;
    const auto name = [&](int g) {
      int& n = node[at(p_.node_of(g))];
      if (n < 0) {
        n = nodes++;
      }
      if (to[at(g)] < 0) {
        to[at(g)] = n * p_.devices_per_node + used[at(n)]++;
      }
    };
    for (const std::int8_t g : s) {
      name(g);
    }
    for (int g = 0; g < p_.devices; ++g) {
      name(g);
    }
    return to;
  }
  [[nodiscard]] static State renamed(const State& s, const std::vector<int>& to) {
    State result(s.size());
    for (std::size_t i = 0; i < s.size(); ++i) {
      result[i] = static_cast<std::int8_t>(to[at(s[i])]);
    }
    return result;
  }

 private:
  void list(State& state, std::vector<int>& room, int item) {  // NOLINT(misc-no-recursion)
    if (item == p_.experts) {
      all_.push_back(state);
      return;
    }
    for (int g = 0; g < p_.devices; ++g) {
      if (room[at(g)] > 0) {
        --room[at(g)];
        state[at(item)] = static_cast<std::int8_t>(g);
        list(state, room, item + 1);
        ++room[at(g)];
      }
    }
  }

  const PlacementProblem& p_;
  bool alike_;
  std::vector<State> all_;
  std::vector<int> class_;
  std::vector<int> representative_;
};

class ChainDp {
 public:
  ChainDp(const PlacementProblem& p, SolverRun& run) : p_(p), run_(run), states_(p) {}

  ItemAnswer solve() {
    value_.assign(at(states_.classes()), k_infinity);
    for (int s = 0; s < states_.size(); ++s) {
      double& best = value_[at(states_.class_of(s))];
      best = std::min(best, own_cost(0, s));
    }
    for (int l = 1; l < p_.layers; ++l) {
      advance(l);
      if (run_.stopped()) {
        return {};
      }
    }
    const auto best = std::ranges::min_element(value_);
    if (*best == k_infinity) {
      return {};  // no feasible state
    }
    return {.devices = trace_back(static_cast<int>(best - value_.begin())), .lower_bound = *best};
  }

 private:
  struct Step {
    int from_class = -1;
    int to_state = -1;  // reached from the representative of from_class
  };

  // alpha * max load, plus the traffic inside the layer (dispatch).
  double own_cost(int layer, int s) const {
    const State& state = states_.state(s);
    std::vector<double> load(at(p_.devices), 0.0);
    for (int i = 0; i < p_.experts; ++i) {
      if (!p_.allowed(layer, i, state[at(i)])) {
        return k_infinity;
      }
      load[at(state[at(i)])] += p_.loads[at(layer)][at(i)];
    }
    double most = 0.0;
    for (int g = 0; g < p_.devices; ++g) {
      most = std::max(most, load[at(g)] * p_.slowness_of(g));
    }
    double cost = p_.alpha * most;
    if (p_.comm == CommModel::dispatch) {
      cost += dispatch_cost(layer, state);
    }
    return cost;
  }

  double dispatch_cost(int layer, const State& state) const {
    const double leaves_device = (1.0 - 1.0 / p_.devices_per_node) * p_.c_intra;
    const double leaves_node = (1.0 - 1.0 / p_.nodes()) * p_.c_inter;
    double cost = 0.0;
    const auto& ids = p_.token_sets[at(layer)];
    for (std::size_t t = 0; t < ids.size(); t += at(p_.top_k)) {
      std::uint64_t devices = 0;  // at most 64: states are few
      std::uint64_t nodes = 0;
      for (std::size_t i = t; i < t + at(p_.top_k); ++i) {
        devices |= std::uint64_t{1} << state[ids[i]];
        nodes |= std::uint64_t{1} << p_.node_of(state[ids[i]]);
      }
      cost +=
          leaves_device * __builtin_popcountll(devices) + leaves_node * __builtin_popcountll(nodes);
    }
    return p_.beta * cost;
  }

  void advance(int layer) {
    std::vector<double> own(at(states_.size()));
    parallel_for(own.size(), run_.options().threads,
                 [&](std::size_t s) { own[s] = own_cost(layer, static_cast<int>(s)); });
    const auto classes = at(states_.classes());
    // Every thread takes a share of the classes to come from; shares are merged in order.
    const std::size_t shares = std::min<std::size_t>(classes, 8);
    std::vector<std::vector<double>> value(shares, std::vector<double>(classes, k_infinity));
    std::vector<std::vector<Step>> step(shares, std::vector<Step>(classes));
    parallel_for(shares, run_.options().threads, [&](std::size_t share) {
      for (std::size_t c = share; c < classes && !run_.stopped(); c += shares) {
        extend(layer, static_cast<int>(c), own, value[share], step[share]);
      }
    });
    for (std::size_t share = 1; share < shares; ++share) {
      for (std::size_t c = 0; c < classes; ++c) {
        if (value[share][c] < value[0][c]) {
          value[0][c] = value[share][c];
          step[0][c] = step[share][c];
        }
      }
    }
    value_ = std::move(value[0]);
    steps_.push_back(std::move(step[0]));
  }

  void extend(int layer, int c, const std::vector<double>& own, std::vector<double>& value,
              std::vector<Step>& step) const {
    const double so_far = value_[at(c)];
    if (so_far == k_infinity) {
      return;
    }
    const std::vector<double> arrival = arrival_costs(layer, states_.representative(c));
    const auto devices = at(p_.devices);
    for (int s = 0; s < states_.size(); ++s) {
      double cost = so_far + own[at(s)];
      if (!arrival.empty()) {
        const State& state = states_.state(s);
        for (std::size_t b = 0; b < state.size(); ++b) {
          cost += arrival[b * devices + at(state[b])];
        }
      }
      const int to = states_.class_of(s);
      if (cost < value[at(to)]) {
        value[at(to)] = cost;
        step[at(to)] = {c, s};
      }
    }
  }

  // [item of the layer][device]: beta * traffic towards it from the layer before.
  std::vector<double> arrival_costs(int layer, const State& before) const {
    if (p_.comm != CommModel::interlayer) {
      return {};
    }
    const std::size_t experts = at(p_.experts);
    const std::size_t devices = at(p_.devices);
    std::vector<double> cost(experts * devices, 0.0);
    for (std::size_t a = 0; a < experts; ++a) {
      for (std::size_t b = 0; b < experts; ++b) {
        const double pairs = p_.beta * p_.transitions[at(layer) - 1][a * experts + b];
        for (std::size_t g = 0; g < devices; ++g) {
          cost[b * devices + g] += pairs * p_.distance(before[a], static_cast<int>(g));
        }
      }
    }
    return cost;
  }

  // Each step tells how a class was reached from a representative; its names are carried over to
  // the names that the layer behind it uses.
  Assignment trace_back(int last) const {
    std::vector<State> chosen(at(p_.layers));
    State here = states_.representative(last);
    int c = last;
    for (int l = p_.layers - 1; l > 0; --l) {
      const Step& step = steps_[at(l) - 1][at(c)];
      chosen[at(l)] = here;
      // step.to_state = pi(representative of c); `here` = rho(representative of c).
      const State& reached = states_.state(step.to_state);
      const std::vector<int> to_class = states_.renaming(reached);
      const std::vector<int> here_to_class = states_.renaming(here);
      std::vector<int> class_to_here(at(p_.devices));
      for (std::size_t g = 0; g < here_to_class.size(); ++g) {
        class_to_here[at(here_to_class[g])] = static_cast<int>(g);
      }
      std::vector<int> names(at(p_.devices));
      for (std::size_t g = 0; g < names.size(); ++g) {
        names[g] = class_to_here[at(to_class[g])];
      }
      here = States::renamed(states_.representative(step.from_class), names);
      c = step.from_class;
    }
    chosen[0] = here;
    Assignment devices;
    for (const State& state : chosen) {
      devices.insert(devices.end(), state.begin(), state.end());
    }
    return devices;
  }

  const PlacementProblem& p_;
  SolverRun& run_;
  States states_;
  std::vector<double> value_;             // [class]
  std::vector<std::vector<Step>> steps_;  // [layer - 1][class]
};

// Renamings of alike devices: a bound on how many states share a class.
double renamings(const PlacementProblem& p) {
  if (!devices_alike(p)) {
    return 1.0;
  }
  double count = 1.0;
  for (int n = 1; n <= p.nodes(); ++n) {
    count *= n;
    for (int g = 2; g <= p.devices_per_node; ++g) {
      count *= g;
    }
  }
  return count;
}

}  // namespace

double chain_dp_work(const PlacementProblem& items) {
  const double states = state_count(items);
  if (states > k_most_states || items.devices > 64) {
    return k_infinity;
  }
  const double tokens =
      items.token_sets.empty() ? 0.0 : static_cast<double>(items.token_sets.front().size());
  const double classes = std::max(1.0, states / renamings(items));
  const double per_pair = items.comm == CommModel::interlayer ? items.experts : 1.0;
  return states * items.layers * (classes * per_pair + items.experts + tokens);
}

ItemAnswer solve_chain_dp(const PlacementProblem& items, SolverRun& run) {
  ensure(chain_dp_work(items) < k_infinity, "the states of a chain are few");
  return ChainDp(items, run).solve();
}

}  // namespace moesim
