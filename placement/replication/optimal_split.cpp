// The split of expert loads over replicas that leaves the busiest device as idle as possible.
//
// For a limit M on load * slowness, experts can be served iff a flow source -> expert -> device ->
// sink with device capacities M / slowness carries all load. The least M is found by Newton's
// method: an infeasible M leaves a min-cut with a set S of experts whose devices N(S) are too slow;
// the next M is load(S) / sum of 1/slowness over N(S). M only grows and takes values of subsets, so
// it ends at the exact maximum over subsets.
#include <algorithm>
#include <limits>
#include <queue>

#include "placement/evaluate.h"
#include "sim/core/error.h"
#include "sim/core/index.h"

namespace moesim {
namespace {

// Dinic's algorithm on experts x devices; small graphs, real capacities.
class SplitFlow {
 public:
  SplitFlow(int experts, int devices)
      : experts_(experts), devices_(devices), edges_of_(at(experts + devices + 2)) {}

  [[nodiscard]] int source() const { return experts_ + devices_; }
  [[nodiscard]] int sink() const { return experts_ + devices_ + 1; }

  std::size_t add(int from, int to, double capacity) {
    const std::size_t id = edges_.size();
    edges_.push_back({to, capacity});
    edges_.push_back({from, 0.0});
    edges_of_[at(from)].push_back(id);
    edges_of_[at(to)].push_back(id + 1);
    return id;
  }
  void set(std::size_t edge, double capacity) {
    edges_[edge].room = capacity;
    edges_[edge + 1].room = 0.0;
  }
  [[nodiscard]] double flow(std::size_t edge) const { return edges_[edge + 1].room; }

  // Rooms below `tiny` count as none: what rounding leaves.
  double maximise(double tiny) {
    double total = 0.0;
    while (find_levels(tiny)) {
      next_.assign(edges_of_.size(), 0);
      while (true) {
        const double pushed = push(source(), std::numeric_limits<double>::infinity(), tiny);
        if (pushed <= tiny) {
          break;
        }
        total += pushed;
      }
    }
    return total;
  }
  // After maximise: is the vertex on the source's side of the cut?
  [[nodiscard]] bool reachable(int vertex) const { return level_[at(vertex)] >= 0; }

 private:
  struct Edge {
    int to;
    double room;
  };

  bool find_levels(double tiny) {
    level_.assign(edges_of_.size(), -1);
    std::queue<int> queue;
    level_[at(source())] = 0;
    queue.push(source());
    while (!queue.empty()) {
      const int v = queue.front();
      queue.pop();
      for (const std::size_t id : edges_of_[at(v)]) {
        const Edge& edge = edges_[id];
        if (edge.room > tiny && level_[at(edge.to)] < 0) {
          level_[at(edge.to)] = level_[at(v)] + 1;
          queue.push(edge.to);
        }
      }
    }
    return level_[at(sink())] >= 0;
  }

  double push(int v, double most, double tiny) {  // NOLINT(misc-no-recursion): depth is the level
    if (v == sink()) {
      return most;
    }
    for (std::size_t& i = next_[at(v)]; i < edges_of_[at(v)].size(); ++i) {
      const std::size_t id = edges_of_[at(v)][i];
      const int to = edges_[id].to;
      if (edges_[id].room > tiny && level_[at(to)] == level_[at(v)] + 1) {
        const double pushed = push(to, std::min(most, edges_[id].room), tiny);
        if (pushed > tiny) {
          edges_[id].room -= pushed;
          edges_[id ^ 1].room += pushed;
          return pushed;
        }
      }
    }
    return 0.0;
  }

  int experts_;
  int devices_;
  std::vector<Edge> edges_;
  std::vector<std::vector<std::size_t>> edges_of_;
  std::vector<int> level_;
  std::vector<std::size_t> next_;
};

// One layer as a flow: each (expert, device) pair once, however many slots it has.
class LayerSplit {
 public:
  LayerSplit(const PlacementProblem& problem, const ExpertPlacement& placement, int layer)
      : problem_(problem),
        loads_(problem.loads[at(layer)]),
        flow_(problem.experts, problem.devices) {
    slots_ = placement.slots();
    edge_of_slot_.assign(at(slots_), k_none);
    for (int e = 0; e < problem.experts; ++e) {
      source_edge_.push_back(flow_.add(flow_.source(), e, 0.0));
    }
    for (int g = 0; g < problem.devices; ++g) {
      sink_edge_.push_back(flow_.add(problem.experts + g, flow_.sink(), 0.0));
      const auto& slots = placement.slot_expert[at(layer)];
      std::vector<std::size_t> edge_of_expert(at(problem.experts), k_none);
      for (int s = placement.first_slot[at(g)]; s < placement.first_slot[at(g) + 1]; ++s) {
        const std::int32_t e = slots[at(s)];
        if (e >= 0 && edge_of_expert[at(e)] == k_none) {
          edge_of_expert[at(e)] = flow_.add(e, problem.experts + g, 0.0);
          edge_of_slot_[at(s)] = edge_of_expert[at(e)];
          pairs_.push_back({e, g, edge_of_expert[at(e)]});
        }
      }
    }
  }

  std::vector<double> slot_loads() {
    double total = 0.0;
    double speed = 0.0;
    for (const double load : loads_) {
      total += load;
    }
    for (int g = 0; g < problem_.devices; ++g) {
      speed += 1.0 / problem_.slowness_of(g);
    }
    const double tiny = total * 1e-14;
    double limit = total / speed;
    for (int step = 0; step <= problem_.experts; ++step) {  // every step enlarges N(S)
      const double served = flow_with(limit, tiny);
      const double next = served >= total - tiny * problem_.experts ? limit : cut_limit();
      if (!(next > limit * (1.0 + 1e-13))) {
        break;
      }
      limit = next;
    }
    std::vector<double> result(at(slots_), 0.0);
    for (std::size_t s = 0; s < result.size(); ++s) {
      if (edge_of_slot_[s] != k_none) {
        result[s] = flow_.flow(edge_of_slot_[s]);
      }
    }
    return result;
  }

 private:
  static constexpr std::size_t k_none = static_cast<std::size_t>(-1);
  struct Pair {
    int expert;
    int device;
    std::size_t edge;
  };

  double flow_with(double limit, double tiny) {
    for (std::size_t e = 0; e < source_edge_.size(); ++e) {
      flow_.set(source_edge_[e], loads_[e]);
    }
    for (int g = 0; g < problem_.devices; ++g) {
      flow_.set(sink_edge_[at(g)], limit / problem_.slowness_of(g));
    }
    for (const Pair& pair : pairs_) {
      flow_.set(pair.edge, std::numeric_limits<double>::max());
    }
    return flow_.maximise(tiny);
  }

  // load(S) / speed of N(S) for the experts on the source's side.
  [[nodiscard]] double cut_limit() const {
    double load = 0.0;
    for (int e = 0; e < problem_.experts; ++e) {
      load += flow_.reachable(e) ? loads_[at(e)] : 0.0;
    }
    std::vector<bool> used(at(problem_.devices), false);
    for (const Pair& pair : pairs_) {
      used[at(pair.device)] = used[at(pair.device)] || flow_.reachable(pair.expert);
    }
    double speed = 0.0;
    for (int g = 0; g < problem_.devices; ++g) {
      speed += used[at(g)] ? 1.0 / problem_.slowness_of(g) : 0.0;
    }
    return speed > 0.0 ? load / speed : 0.0;
  }

  const PlacementProblem& problem_;
  const std::vector<double>& loads_;
  SplitFlow flow_;
  int slots_ = 0;
  std::vector<std::size_t> source_edge_;
  std::vector<std::size_t> sink_edge_;
  std::vector<std::size_t> edge_of_slot_;
  std::vector<Pair> pairs_;
};

}  // namespace

std::vector<double> optimal_slot_loads(const PlacementProblem& problem,
                                       const ExpertPlacement& placement, int layer) {
  return LayerSplit(problem, placement, layer).slot_loads();
}

}  // namespace moesim
