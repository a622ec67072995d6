#include "placement/published/co_clustering.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "placement/heuristics/transport.h"
#include "sim/core/error.h"
#include "sim/core/index.h"
#include "sim/core/rng.h"

namespace moesim {
namespace {

constexpr int k_most_rounds = 50;
constexpr int k_most_passes = 20;

class Alternation {
 public:
  Alternation(const CoClusterInput& input, const SolverRun& run)
      : in_(input),
        run_(run),
        mean_(std::accumulate(input.frequency.begin(), input.frequency.end(), 0.0) /
              input.devices) {}

  // From a placement of the experts.
  CoClusters solve(std::vector<std::vector<int>> device_of_expert) {
    clusters_.device_of_expert = std::move(device_of_expert);
    place_tokens();
    move_tokens();
    swap_tokens();
    double best = co_cluster_objective(in_, clusters_);
    for (int round = 0; round < k_most_rounds && !run_.stopped(); ++round) {
      place_experts();
      move_tokens();
      swap_tokens();
      const double then = co_cluster_objective(in_, clusters_);
      if (!(then < best * (1.0 - 1e-12))) {
        break;
      }
      best = then;
    }
    clusters_.objective = co_cluster_objective(in_, clusters_);
    return std::move(clusters_);
  }

 private:
  // [device]: activations of the token type there.
  [[nodiscard]] std::vector<double> local(std::size_t token) const {
    std::vector<double> count(at(in_.devices), 0.0);
    for (const TokenActivation& a : in_.experts_of[token]) {
      count[at(clusters_.device_of_expert[at(a.layer)][at(a.expert)])] += a.count;
    }
    return count;
  }
  // What the balance term grows by when `more` occurrences come to a device.
  [[nodiscard]] double balance_step(std::size_t device, double more) const {
    return in_.theta * (std::abs(busy_[device] + more - mean_) - std::abs(busy_[device] - mean_));
  }
  // The best device given all other tokens; `own`: where it would stay at equal cost, or none.
  [[nodiscard]] int best_device(std::size_t token, int own) const {
    const std::vector<double> here = local(token);
    const auto cost = [&](int g) {
      return balance_step(at(g), in_.frequency[token]) - (1.0 - in_.theta) * here[at(g)];
    };
    int best = std::max(own, 0);
    for (int g = 0; g < in_.devices; ++g) {
      if (cost(g) < cost(best) - 1e-12 * (1.0 + std::abs(cost(best)))) {
        best = g;
      }
    }
    return best;
  }

  // Most frequent first, each where it adds least.
  void place_tokens() {
    std::vector<std::size_t> order(in_.frequency.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(
        order, [&](std::size_t a, std::size_t b) { return in_.frequency[a] > in_.frequency[b]; });
    clusters_.device_of_token.assign(order.size(), 0);
    busy_.assign(at(in_.devices), 0.0);
    for (const std::size_t token : order) {
      const int g = best_device(token, -1);
      clusters_.device_of_token[token] = g;
      busy_[at(g)] += in_.frequency[token];
    }
  }

  void move_tokens() {
    bool moved = true;
    for (int pass = 0; moved && pass < k_most_passes && !run_.stopped(); ++pass) {
      moved = false;
      for (std::size_t token = 0; token < in_.frequency.size(); ++token) {
        const int own = clusters_.device_of_token[token];
        busy_[at(own)] -= in_.frequency[token];
        const int g = best_device(token, own);
        busy_[at(g)] += in_.frequency[token];
        clusters_.device_of_token[token] = g;
        moved = moved || g != own;
      }
    }
  }

  // Single moves stop where tokens are spread evenly. So for every pair of devices the tokens that
  // gain most by changing sides are exchanged, best with best, as long as the objective falls.
  void swap_tokens() {
    struct Gain {
      double local = 0.0;
      std::size_t token = 0;
    };
    for (int g = 0; g < in_.devices; ++g) {
      for (int h = g + 1; h < in_.devices && !run_.stopped(); ++h) {
        std::vector<Gain> leave_g;
        std::vector<Gain> leave_h;
        for (std::size_t token = 0; token < in_.frequency.size(); ++token) {
          const int own = clusters_.device_of_token[token];
          if (own == g || own == h) {
            const std::vector<double> here = local(token);
            const double gain = here[at(g + h - own)] - here[at(own)];
            (own == g ? leave_g : leave_h).push_back({gain, token});
          }
        }
        const auto best_first = [](const Gain& a, const Gain& b) { return a.local > b.local; };
        std::ranges::stable_sort(leave_g, best_first);
        std::ranges::stable_sort(leave_h, best_first);
        for (std::size_t i = 0; i < std::min(leave_g.size(), leave_h.size()); ++i) {
          const double gain = leave_g[i].local + leave_h[i].local;
          const double shift =
              in_.frequency[leave_h[i].token] - in_.frequency[leave_g[i].token];  // to g
          const double change =
              balance_step(at(g), shift) + balance_step(at(h), -shift) - (1.0 - in_.theta) * gain;
          if (!(gain > 0.0)) {
            break;
          }
          if (change < -1e-12) {
            clusters_.device_of_token[leave_g[i].token] = h;
            clusters_.device_of_token[leave_h[i].token] = g;
            busy_[at(g)] += shift;
            busy_[at(h)] -= shift;
          }
        }
      }
    }
  }

  // Exact for every layer: most activations by tokens of the same device.
  void place_experts() {
    const std::size_t row = at(in_.experts) * at(in_.devices);
    std::vector<double> cost(at(in_.layers) * row, 0.0);
    for (std::size_t token = 0; token < in_.frequency.size(); ++token) {
      for (const TokenActivation& a : in_.experts_of[token]) {
        cost[at(a.layer) * row + at(a.expert) * at(in_.devices) +
             at(clusters_.device_of_token[token])] -= a.count;
      }
    }
    for (std::size_t l = 0; l < at(in_.layers); ++l) {
      const auto first = cost.begin() + static_cast<std::ptrdiff_t>(l * row);
      const std::vector<double> layer(first, first + static_cast<std::ptrdiff_t>(row));
      clusters_.device_of_expert[l] = transport(layer, in_.capacity);
      ensure(!clusters_.device_of_expert[l].empty(), "experts fit into the slots");
    }
  }

  const CoClusterInput& in_;
  const SolverRun& run_;
  double mean_;
  CoClusters clusters_;
  std::vector<double> busy_;  // [device]: occurrences of its tokens
};

// Slots in device order, experts in the given order.
std::vector<int> fill_in_order(const CoClusterInput& input, const std::vector<int>& order) {
  std::vector<int> device(order.size(), 0);
  std::vector<int> room = input.capacity;
  // Evenly where there are more slots than experts.
  const int even = (input.experts + input.devices - 1) / input.devices;
  int g = 0;
  int here = 0;
  for (const int e : order) {
    for (int tried = 0; room[at(g)] == 0 || here >= even; ++tried) {
      g = (g + 1) % input.devices;
      here = 0;
      ensure(tried <= 2 * input.devices, "experts fit into the slots");
    }
    device[at(e)] = g;
    --room[at(g)];
    ++here;
  }
  return device;
}

void add_rates(const CoClusterInput& input, CoClusters& clusters) {
  std::vector<double> busy(at(input.devices), 0.0);
  double all = 0.0;
  double local = 0.0;
  for (std::size_t j = 0; j < input.frequency.size(); ++j) {
    busy[at(clusters.device_of_token[j])] += input.frequency[j];
    for (const TokenActivation& a : input.experts_of[j]) {
      all += a.count;
      local += clusters.device_of_expert[at(a.layer)][at(a.expert)] == clusters.device_of_token[j]
                   ? a.count
                   : 0.0;
    }
  }
  const double mean = std::accumulate(busy.begin(), busy.end(), 0.0) / input.devices;
  clusters.local_rate = all > 0.0 ? local / all : 0.0;
  clusters.imbalance = mean > 0.0 ? *std::ranges::max_element(busy) / mean : 1.0;
}

}  // namespace

double co_cluster_objective(const CoClusterInput& input, const CoClusters& clusters) {
  std::vector<double> busy(at(input.devices), 0.0);
  double elsewhere = 0.0;
  for (std::size_t j = 0; j < input.frequency.size(); ++j) {
    busy[at(clusters.device_of_token[j])] += input.frequency[j];
    for (const TokenActivation& a : input.experts_of[j]) {
      elsewhere +=
          clusters.device_of_expert[at(a.layer)][at(a.expert)] != clusters.device_of_token[j]
              ? a.count
              : 0.0;
    }
  }
  const double mean = std::accumulate(busy.begin(), busy.end(), 0.0) / input.devices;
  double uneven = 0.0;
  for (const double x : busy) {
    uneven += std::abs(x - mean);
  }
  return input.theta * uneven + (1.0 - input.theta) * elsewhere;
}

CoClusters co_cluster(const CoClusterInput& input, const SolverRun& run) {
  ensure(input.devices > 0 && input.capacity.size() == at(input.devices) &&
             input.experts_of.size() == input.frequency.size() && input.starts > 0,
         "co-clustering has a capacity per device and activations per token type");
  Rng rng = RngStreams(run.options().seed).stream("co_clustering");
  CoClusters best;
  for (int start = 0; start < input.starts && (start == 0 || !run.stopped()); ++start) {
    std::vector<std::vector<int>> devices;
    for (int l = 0; l < input.layers; ++l) {
      std::vector<int> order(at(input.experts));
      std::iota(order.begin(), order.end(), 0);
      if (start > 0) {
        shuffle(std::span(order), rng);
      }
      devices.push_back(fill_in_order(input, order));
    }
    CoClusters clusters = Alternation(input, run).solve(std::move(devices));
    if (start == 0 || clusters.objective < best.objective) {
      best = std::move(clusters);
    }
  }
  add_rates(input, best);
  return best;
}

SolverAnswer place_co_clustering(const PlacementProblem& problem, SolverRun& run) {
  CoClusterInput input;
  input.layers = problem.layers;
  input.experts = problem.experts;
  input.devices = problem.devices;
  input.capacity = problem.capacity;
  // A token's activations sum to one: as much as its weight in the balance.
  const double share = 1.0 / (problem.layers * problem.top_k);
  for (int l = 0; l < problem.layers; ++l) {
    const auto& ids = problem.token_sets[at(l)];
    const std::size_t k = at(problem.top_k);
    input.frequency.resize(std::max(input.frequency.size(), ids.size() / k), 1.0);
    input.experts_of.resize(input.frequency.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      input.experts_of[i / k].push_back({l, ids[i], share});
    }
  }
  const CoClusters clusters = co_cluster(input, run);
  Assignment devices;
  for (const auto& layer : clusters.device_of_expert) {
    devices.insert(devices.end(), layer.begin(), layer.end());
  }
  return {placement_of(problem, devices), 0.0};
}

std::string unfit_co_clustering(const PlacementProblem& problem) {
  if (problem.comm != CommModel::dispatch) {
    return "co-clustering needs the experts of a sample of tokens (comm_model \"dispatch\")";
  }
  if (!problem.forbidden.empty()) {
    return "co-clustering knows no forbidden or pinned GPUs";
  }
  if (!problem.expert_of_item.empty() || problem.redundant > 0) {
    return "co-clustering places one copy of every expert";
  }
  return {};
}

}  // namespace moesim
