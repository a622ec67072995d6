#include "sim/engine/results/uncertainty.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <tuple>

namespace moesim {
namespace {

constexpr double k_p90_of_normal = 1.2816;  // standard normal, one-sided

std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

// Larger values first, equal ones by name: the same list in every run.
template <class Row, class Value, class Name>
void sort_by(std::vector<Row>& rows, Value value, Name name) {
  std::ranges::sort(rows, [=](const Row& a, const Row& b) {
    return value(a) != value(b) ? value(a) > value(b) : name(a) < name(b);
  });
}

class ExtrapolatedOps {
 public:
  explicit ExtrapolatedOps(const LoweredStep& step) : step_(step) {}

  ExtrapolatedOp& op_of(const Kernel& kernel) {
    const std::string& family = step_.families[at(kernel.family)].name;
    auto found = std::ranges::find_if(ops_, [&](const ExtrapolatedOp& op) {
      return op.label == kernel.label && op.family == family;
    });
    if (found == ops_.end()) {
      ops_.push_back({.label = kernel.label, .family = family});
      last_layer_.push_back(-1);
      found = ops_.end() - 1;
    }
    return *found;
  }

  // Tasks come layer by layer.
  void note_layer(const Kernel& kernel, int layer) {
    ExtrapolatedOp& op = op_of(kernel);
    int& last = last_layer_[static_cast<std::size_t>(&op - ops_.data())];
    if (layer > last) {
      ++op.layers;
      last = layer;
    }
  }

  std::vector<ExtrapolatedOp> sorted() && {
    sort_by(
        ops_, [](const ExtrapolatedOp& op) { return op.critical_s; },
        [](const ExtrapolatedOp& op) { return std::tuple(op.label, op.family); });
    return std::move(ops_);
  }

 private:
  const LoweredStep& step_;
  std::vector<ExtrapolatedOp> ops_;
  std::vector<int> last_layer_;
};

// What a family's kernels on the critical path err by, in seconds.
struct Spread {
  const SharedError* common = nullptr;  // that the family has with others
  double all = 0.0;                     // sum of t_i s_i
  double own = 0.0;                     // of the errors that are the family's alone
  double transfer = 0.0;                // of those that it shares
};

std::vector<Spread> empty_spreads(const LoweredStep& step, const SharedErrors& shared) {
  std::vector<Spread> spreads(step.families.size());
  for (std::size_t f = 0; f < spreads.size(); ++f) {
    const auto found =
        std::ranges::find(shared.transfers, step.families[f].name, &SharedError::family);
    spreads[f].common = found == shared.transfers.end() ? nullptr : &*found;
  }
  return spreads;
}

void add(Spread& spread, double took, double sigma) {
  const double part = spread.common == nullptr ? 0.0 : std::min(spread.common->sigma, sigma);
  spread.all += took * sigma;
  spread.transfer += took * part;
  spread.own += took * std::sqrt(sigma * sigma - part * part);
}

// What every family adds to the step's variance, in seconds squared: its own errors, and of what
// families of one origin share, its covariance with all of them.
std::vector<double> contributions(const std::vector<Spread>& spreads) {
  std::map<std::string_view, double> origins;
  for (const Spread& spread : spreads) {
    if (spread.common != nullptr) {
      origins[spread.common->origin] += spread.transfer;
    }
  }
  std::vector<double> result;
  for (const Spread& spread : spreads) {
    const double together = spread.common == nullptr ? 0.0 : origins[spread.common->origin];
    result.push_back(spread.own * spread.own + spread.transfer * together);
  }
  return result;
}

}  // namespace

Uncertainty propagate_uncertainty(const LoweredStep& step, const RunResult& result,
                                  const SharedErrors& shared) {
  std::vector<FamilyUncertainty> families;
  for (const FamilyUse& use : step.families) {
    families.push_back({.family = use.name});
  }
  std::vector<Spread> spreads = empty_spreads(step, shared);
  ExtrapolatedOps extrapolated(step);
  for (const PathTask& task : critical_path(step.graph, result)) {
    split_over_kernels(step, result, task.id, [&](const Kernel& kernel, double took) {
      families[at(kernel.family)].critical_s += took;
      add(spreads[at(kernel.family)], took, kernel.sigma);
      if (kernel.extrapolated) {
        extrapolated.op_of(kernel).critical_s += took;
      }
    });
  }
  for (const Task& task : step.graph.tasks()) {
    const std::size_t first = step.first_kernel[at(task.program)];
    for (std::size_t k = 0; k < step.graph.segments(task.program).size(); ++k) {
      if (step.kernels[first + k].extrapolated) {
        extrapolated.note_layer(step.kernels[first + k], task.layer);
      }
    }
  }
  const std::vector<double> parts = contributions(spreads);
  const double deployment = shared.deployment * shared.deployment * result.makespan_s *
                            result.makespan_s;  // seconds squared, as `parts`
  const double variance = std::accumulate(parts.begin(), parts.end(), deployment);
  const auto share = [variance](double part) { return variance > 0 ? part / variance : 0.0; };
  for (std::size_t f = 0; f < families.size(); ++f) {
    families[f].sigma = families[f].critical_s > 0 ? spreads[f].all / families[f].critical_s : 0.0;
    families[f].variance_share = share(parts[f]);
  }
  std::erase_if(families, [](const FamilyUncertainty& f) { return f.critical_s <= 0; });
  sort_by(
      families, [](const FamilyUncertainty& f) { return f.variance_share; },
      [](const FamilyUncertainty& f) { return f.family; });
  return {.sigma = result.makespan_s > 0 ? std::sqrt(variance) / result.makespan_s : 0.0,
          .families = std::move(families),
          .deployment_share = share(deployment),
          .extrapolated = std::move(extrapolated).sorted()};
}

Interval p10_p90(double value, double sigma) {
  const double factor = std::exp(k_p90_of_normal * sigma);
  return {value / factor, value * factor};
}

}  // namespace moesim
