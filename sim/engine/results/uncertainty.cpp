#include "sim/engine/results/uncertainty.h"

#include <algorithm>
#include <cmath>
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

}  // namespace

Uncertainty propagate_uncertainty(const LoweredStep& step, const RunResult& result) {
  std::vector<FamilyUncertainty> families;
  std::vector<double> spread(step.families.size());  // seconds: sum of t_i s_i
  for (const FamilyUse& use : step.families) {
    families.push_back({.family = use.name});
  }
  ExtrapolatedOps extrapolated(step);
  for (const PathTask& task : critical_path(step.graph, result)) {
    split_over_kernels(step, result, task.id, [&](const Kernel& kernel, double took) {
      families[at(kernel.family)].critical_s += took;
      spread[at(kernel.family)] += took * kernel.sigma;
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
  double variance = 0.0;  // seconds squared
  for (const double seconds : spread) {
    variance += seconds * seconds;
  }
  for (std::size_t f = 0; f < families.size(); ++f) {
    families[f].sigma = families[f].critical_s > 0 ? spread[f] / families[f].critical_s : 0.0;
    families[f].variance_share = variance > 0 ? spread[f] * spread[f] / variance : 0.0;
  }
  std::erase_if(families, [](const FamilyUncertainty& f) { return f.critical_s <= 0; });
  sort_by(
      families, [](const FamilyUncertainty& f) { return f.variance_share; },
      [](const FamilyUncertainty& f) { return f.family; });
  return {.sigma = result.makespan_s > 0 ? std::sqrt(variance) / result.makespan_s : 0.0,
          .families = std::move(families),
          .extrapolated = std::move(extrapolated).sorted()};
}

Interval p10_p90(double value, double sigma) {
  const double factor = std::exp(k_p90_of_normal * sigma);
  return {value / factor, value * factor};
}

}  // namespace moesim
