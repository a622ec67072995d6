#include "placement/published/exflow.h"

#include <algorithm>
#include <numeric>

#include "placement/heuristics/transport.h"
#include "placement/programs/milp_model.h"
#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

// Columns beyond which CBC does not get far in seconds (measured).
constexpr std::size_t k_most_columns = 2500;
constexpr int k_most_sweeps = 20;

class Affinity {
 public:
  Affinity(const PlacementProblem& problem, const AffinityStage& stage, const SolverRun& run)
      : problem_(problem), stage_(stage), run_(run), bins_(stage.room.size()) {}

  AffinityResult solve() {
    for (std::size_t l = 0; l < stage_.items.size(); ++l) {
      answer_.bins.push_back(best_layer(l, false));
      ensure(!answer_.bins.back().empty() || stage_.items[l].empty(), "items fit into their bins");
    }
    answer_.retained = retained(answer_.bins);
    bool better = true;
    for (int pass = 0; better && pass < k_most_sweeps && !run_.stopped(); ++pass) {
      better = false;
      for (std::size_t l = 0; l < stage_.items.size() && !run_.stopped(); ++l) {
        std::vector<std::vector<int>> trial = answer_.bins;
        trial[l] = best_layer(l, true);
        better = keep_if_better(std::move(trial)) || better;
      }
    }
    const std::size_t layers = stage_.items.size();
    if (columns(0, layers) <= k_most_columns) {
      answer_.proven = improve(0, layers);
    } else {
      for (std::size_t l = 0; l + 1 < layers && !run_.stopped(); ++l) {
        if (columns(l, l + 2) <= k_most_columns) {
          improve(l, l + 2);
        }
      }
    }
    return std::move(answer_);
  }

 private:
  [[nodiscard]] double pairs(std::size_t l, int a, int b) const {
    return problem_.transitions[l][at(a) * at(problem_.experts) + at(b)];
  }
  [[nodiscard]] std::size_t columns(std::size_t first, std::size_t end) const {
    std::size_t count = 0;
    for (std::size_t l = first; l < end; ++l) {
      const std::size_t next = l + 1 < end ? stage_.items[l + 1].size() : 0;
      count += stage_.items[l].size() * bins_ * (1 + next);
    }
    return count;
  }
  [[nodiscard]] double retained(const std::vector<std::vector<int>>& bins) const {
    double sum = 0.0;
    for (std::size_t l = 0; l + 1 < bins.size(); ++l) {
      for (std::size_t i = 0; i < bins[l].size(); ++i) {
        for (std::size_t j = 0; j < bins[l + 1].size(); ++j) {
          if (bins[l][i] == bins[l + 1][j]) {
            sum += pairs(l, stage_.items[l][i], stage_.items[l + 1][j]);
          }
        }
      }
    }
    return sum;
  }
  bool keep_if_better(std::vector<std::vector<int>> trial) {
    const double then = retained(trial);
    if (!(then > answer_.retained * (1.0 + 1e-12))) {
      return false;
    }
    answer_.retained = then;
    answer_.bins = std::move(trial);
    return true;
  }
  // [item][bin] of layer l: pairs shared with the layers outside [first, end) that have bins.
  [[nodiscard]] std::vector<double> pull(std::size_t l, std::size_t first, std::size_t end) const {
    const auto& items = stage_.items[l];
    std::vector<double> gain(items.size() * bins_, 0.0);
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (l == first && l > 0) {
        for (std::size_t j = 0; j < answer_.bins[l - 1].size(); ++j) {
          gain[i * bins_ + at(answer_.bins[l - 1][j])] +=
              pairs(l - 1, stage_.items[l - 1][j], items[i]);
        }
      }
      if (l + 1 == end && end < answer_.bins.size()) {
        for (std::size_t j = 0; j < answer_.bins[l + 1].size(); ++j) {
          gain[i * bins_ + at(answer_.bins[l + 1][j])] +=
              pairs(l, items[i], stage_.items[l + 1][j]);
        }
      }
    }
    return gain;
  }
  [[nodiscard]] std::vector<int> best_layer(std::size_t l, bool with_next) const {
    ensure(with_next || answer_.bins.size() == l, "layers are first placed in order");
    std::vector<double> costs = pull(l, l, l + 1);
    for (double& cost : costs) {
      cost = -cost;
    }
    return transport(costs, stage_.room);
  }

  // The pair program over layers [first, end), neighbours fixed. True: solved to optimality.
  bool improve(std::size_t first, std::size_t end) {
    MilpModel model;
    std::vector<int> x_of_layer;  // first x column
    for (std::size_t l = first; l < end; ++l) {
      x_of_layer.push_back(model.columns());
      add_layer(model, l, pull(l, first, end));
    }
    // All labels are free as long as nothing else is fixed and bins are alike.
    const bool alike =
        std::ranges::adjacent_find(stage_.room, std::not_equal_to<>()) == stage_.room.end();
    if (first == 0 && end == stage_.items.size() && alike && !stage_.items[0].empty()) {
      model.lower[at(answer_.bins[0][0])] = 1.0;
    }
    for (std::size_t l = first; l + 1 < end; ++l) {
      add_pairs(model, l, x_of_layer[l - first], x_of_layer[l - first + 1]);
    }
    const std::int64_t nodes = std::clamp<std::int64_t>(1'000'000 / model.columns(), 100, 20'000);
    const MilpResult result = solve_milp(model, {.nodes = nodes}, run_);
    if (!result.values.empty()) {
      std::vector<std::vector<int>> trial = answer_.bins;
      for (std::size_t l = first; l < end; ++l) {
        for (std::size_t i = 0; i < trial[l].size(); ++i) {
          for (std::size_t c = 0; c < bins_; ++c) {
            if (result.values[at(x_of_layer[l - first]) + i * bins_ + c] > 0.5) {
              trial[l][i] = static_cast<int>(c);
            }
          }
        }
      }
      keep_if_better(std::move(trial));
    }
    return result.status == MilpStatus::optimal;
  }

  void add_layer(MilpModel& model, std::size_t l, const std::vector<double>& gain) const {
    const int x = model.columns();
    const int bins = static_cast<int>(bins_);
    const int items = static_cast<int>(stage_.items[l].size());
    for (int i = 0; i < items; ++i) {
      std::vector<MilpTerm> somewhere;
      for (int c = 0; c < bins; ++c) {
        somewhere.push_back({model.add_binary(-gain[at(i * bins + c)]), 1.0});
        model.start.push_back(answer_.bins[l][at(i)] == c ? 1.0 : 0.0);
      }
      model.add_row(1.0, 1.0, std::move(somewhere));
    }
    for (int c = 0; c < bins; ++c) {
      std::vector<MilpTerm> count;
      for (int i = 0; i < items; ++i) {
        count.push_back({x + i * bins + c, 1.0});
      }
      model.add_row(-k_unbounded, stage_.room[at(c)], std::move(count));
    }
  }

  void add_pairs(MilpModel& model, std::size_t l, int x_here, int x_next) const {
    const auto& here = stage_.items[l];
    const auto& next = stage_.items[l + 1];
    const int bins = static_cast<int>(bins_);
    for (int c = 0; c < bins; ++c) {
      std::vector<std::vector<MilpTerm>> of_next(next.size());
      for (std::size_t i = 0; i < here.size(); ++i) {
        const int xi = x_here + static_cast<int>(i) * bins + c;
        std::vector<MilpTerm> of_here;
        for (std::size_t j = 0; j < next.size(); ++j) {
          const double weight = pairs(l, here[i], next[j]);
          if (weight == 0.0) {
            continue;
          }
          const int xj = x_next + static_cast<int>(j) * bins + c;
          const int y = model.add_continuous(0.0, 1.0, -weight);
          model.start.push_back(answer_.bins[l][i] == c && answer_.bins[l + 1][j] == c ? 1.0 : 0.0);
          model.add_row(-k_unbounded, 0.0, {{y, 1.0}, {xi, -1.0}});
          model.add_row(-k_unbounded, 0.0, {{y, 1.0}, {xj, -1.0}});
          of_here.push_back({y, 1.0});
          of_next[j].push_back({y, 1.0});
        }
        // A bin holds no more than `room` partners: cuts off the even spread.
        of_here.push_back({xi, -static_cast<double>(stage_.room[at(c)])});
        model.add_row(-k_unbounded, 0.0, std::move(of_here));
      }
      for (std::size_t j = 0; j < next.size(); ++j) {
        const int xj = x_next + static_cast<int>(j) * bins + c;
        of_next[j].push_back({xj, -static_cast<double>(stage_.room[at(c)])});
        model.add_row(-k_unbounded, 0.0, std::move(of_next[j]));
      }
    }
  }

  const PlacementProblem& problem_;
  const AffinityStage& stage_;
  const SolverRun& run_;
  std::size_t bins_;
  AffinityResult answer_;
};

// Nodes, or the only node.
std::vector<std::vector<int>> choose_nodes(const PlacementProblem& problem, const SolverRun& run) {
  AffinityStage stage;
  stage.room.assign(at(problem.nodes()), 0);
  for (int g = 0; g < problem.devices; ++g) {
    stage.room[at(problem.node_of(g))] += problem.capacity[at(g)];
  }
  std::vector<int> all(at(problem.experts));
  std::iota(all.begin(), all.end(), 0);
  stage.items.assign(at(problem.layers), all);
  if (problem.nodes() == 1) {
    return {at(problem.layers), std::vector<int>(at(problem.experts), 0)};
  }
  return maximise_affinity(problem, stage, run).bins;
}

}  // namespace

AffinityResult maximise_affinity(const PlacementProblem& problem, const AffinityStage& stage,
                                 const SolverRun& run) {
  return Affinity(problem, stage, run).solve();
}

SolverAnswer place_exflow(const PlacementProblem& problem, SolverRun& run) {
  const std::vector<std::vector<int>> node = choose_nodes(problem, run);
  const auto experts = at(problem.experts);
  Assignment devices(at(problem.layers) * experts, -1);
  for (int n = 0; n < problem.nodes(); ++n) {
    AffinityStage stage;
    const int first = n * problem.devices_per_node;
    for (int g = first; g < first + problem.devices_per_node; ++g) {
      stage.room.push_back(problem.capacity[at(g)]);
    }
    for (const auto& layer : node) {
      stage.items.emplace_back();
      for (std::size_t e = 0; e < experts; ++e) {
        if (layer[e] == n) {
          stage.items.back().push_back(static_cast<int>(e));
        }
      }
    }
    const AffinityResult inside = maximise_affinity(problem, stage, run);
    for (std::size_t l = 0; l < stage.items.size(); ++l) {
      for (std::size_t i = 0; i < stage.items[l].size(); ++i) {
        devices[l * experts + at(stage.items[l][i])] = first + inside.bins[l][i];
      }
    }
  }
  return {placement_of(problem, devices), 0.0};
}

std::string unfit_exflow(const PlacementProblem& problem) {
  if (problem.comm != CommModel::interlayer) {
    return "ExFlow needs inter-layer traffic (comm_model \"interlayer\")";
  }
  if (!problem.forbidden.empty()) {
    return "ExFlow's stages know no forbidden or pinned GPUs";
  }
  const bool pairs = std::ranges::any_of(problem.transitions, [](const auto& matrix) {
    return std::ranges::any_of(matrix, [](double count) { return count > 0.0; });
  });
  if (problem.comm == CommModel::interlayer && problem.layers > 1 && !pairs) {
    return "there are no token pairs to keep together";
  }
  if (!problem.expert_of_item.empty() || problem.redundant > 0) {
    return "ExFlow places one copy of every expert";
  }
  return {};
}

}  // namespace moesim
