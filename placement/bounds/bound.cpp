#include <algorithm>
#include <numeric>

#include "placement/bounds/bounds.h"
#include "placement/evaluate.h"
#include "sim/core/index.h"
#include "sim/core/thread_pool.h"

namespace moesim {
namespace {

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

// Pairs that a placement keeps from travelling, per layer pair and weighted: the target of the
// multipliers. Even shares over replicas.
std::vector<double> kept_by(const PlacementProblem& p, const ExpertPlacement& placement) {
  std::vector<double> kept;
  PlacementProblem pair = p;  // once: matrices are large
  pair.layers = 2;
  pair.split = ReplicaSplit::even;
  for (int l = 0; l + 1 < p.layers; ++l) {
    pair.loads = {p.loads[at(l)], p.loads[at(l) + 1]};
    pair.transitions = {p.transitions[at(l)]};
    const ExpertPlacement two{placement.experts,
                              placement.devices,
                              placement.first_slot,
                              {placement.slot_expert[at(l)], placement.slot_expert[at(l) + 1]}};
    const double all = sum(p.transitions[at(l)]);
    const double far = p.nodes() > 1 ? p.c_inter : p.c_intra;
    kept.push_back(far * all - evaluate(pair, two).traffic);
  }
  return kept;
}

// alpha * M_l and what larger loads would save in traffic: linear in M_l, so the least is at one of
// the ends of [load bound, all load].
double least_over_loads(const PlacementProblem& p, const std::vector<double>& least,
                        const std::vector<RetainedBound>& kept) {
  double total = 0.0;
  const double slowest =
      p.slowness.empty() ? 1.0 : *std::max_element(p.slowness.begin(), p.slowness.end());
  for (int l = 0; l < p.layers; ++l) {
    double slope = p.alpha;
    if (l + 1 < p.layers) {
      slope -= p.beta * kept[at(l)].from_load;
    }
    if (l > 0) {
      slope -= p.beta * kept[at(l) - 1].to_load;
    }
    total += std::min(slope * least[at(l)], slope * p.total_load(l) * slowest);
  }
  return total;
}

double all_pairs(const PlacementProblem& p) {
  double total = 0.0;
  for (const std::vector<double>& matrix : p.transitions) {
    total += sum(matrix);
  }
  return (p.nodes() > 1 ? p.c_inter : p.c_intra) * total;
}

void add_interlayer(const PlacementProblem& p, const ExpertPlacement& incumbent,
                    const std::vector<double>& least, int iterations, SolverRun& run,
                    PlacementBound& bound) {
  const std::vector<double> target = kept_by(p, incumbent);
  const std::size_t pairs = target.size();
  // Optimal splits balance devices beyond what equal shares of traffic say: no load constraints.
  const bool loads_hold = p.redundant == 0 || p.split == ReplicaSplit::even;
  std::vector<RetainedBound> plain(pairs);
  std::vector<RetainedBound> joint(pairs);
  parallel_for(2 * pairs, run.options().threads, [&](std::size_t job) {
    const std::size_t l = job / 2;
    const bool with_loads = job % 2 == 1;
    if (with_loads && !loads_hold) {
      return;
    }
    (with_loads ? joint : plain)[l] =
        retained_bound(p, static_cast<int>(l), with_loads, least[l], least[l + 1], target[l],
                       with_loads ? iterations : iterations / 2, run);
  });
  const double all = all_pairs(p);
  double kept = 0.0;
  for (const RetainedBound& pair : plain) {
    kept += pair.constant;
  }
  bound.traffic = p.beta * std::max(0.0, all - kept);
  bound.methods.emplace_back("b-matching dual (traffic)");
  if (loads_hold) {
    double constant = 0.0;
    for (const RetainedBound& pair : joint) {
      constant += pair.constant;
    }
    bound.joint = least_over_loads(p, least, joint) + p.beta * (all - constant);
    bound.methods.emplace_back("b-matching dual with load constraints (joint)");
  }
}

}  // namespace

PlacementBound placement_bound(const PlacementProblem& problem, const ExpertPlacement& incumbent,
                               int iterations, SolverRun& run) {
  PlacementBound bound;
  std::vector<double> least;
  for (int l = 0; l < problem.layers; ++l) {
    least.push_back(layer_load_bound(problem, l));
  }
  bound.load = problem.alpha * sum(least);
  bound.methods.emplace_back(problem.redundant > 0 ? "mean and water-filling (load)"
                                                   : "mean and pigeonhole (load)");
  if (problem.comm == CommModel::interlayer && problem.beta > 0.0) {
    add_interlayer(problem, incumbent, least, iterations, run, bound);
  } else if (problem.comm == CommModel::dispatch) {
    std::vector<double> layers(at(problem.layers));
    parallel_for(layers.size(), run.options().threads, [&](std::size_t l) {
      layers[l] = dispatch_layer_bound(problem, static_cast<int>(l));
    });
    bound.traffic = problem.beta * sum(layers);
    bound.methods.emplace_back("best partners (traffic)");
  }
  // Sums of some thousand terms are rounded by less than this.
  constexpr double rounding = 1e-12;
  bound.value = std::max(bound.load + bound.traffic, bound.joint) * (1.0 - rounding);
  return bound;
}

}  // namespace moesim
