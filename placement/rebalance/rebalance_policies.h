// The policies, one source file each, and the step-by-step view that those without foresight get.
#pragma once

#include <string>
#include <vector>

#include "placement/rebalance/rebalance.h"

namespace moesim::rebalance {

// At the start of a window: what has been seen so far, and nothing else.
class PastView {
 public:
  PastView(RebalanceStudy& study, int window, int current)
      : study_(study), window_(window), current_(current) {}

  [[nodiscard]] const RebalanceOptions& options() const { return study_.task().options; }
  [[nodiscard]] int window() const { return window_; }
  [[nodiscard]] int current() const { return current_; }
  // New placements for the remembered windows. Require window() > 0.
  [[nodiscard]] int proposal() const {
    return study_.solved(study_.first_remembered(window_ - 1), window_ - 1);
  }
  [[nodiscard]] int eplb_proposal() const {
    return study_.solved_by_eplb(study_.first_remembered(window_ - 1), window_ - 1);
  }
  // For policies that make placements themselves. The problem's loads are no window's.
  [[nodiscard]] const PlacementProblem& problem() const { return study_.task().problem; }
  [[nodiscard]] const ExpertPlacement& placement(int candidate) const {
    return study_.placement(candidate);
  }
  [[nodiscard]] std::vector<std::vector<double>> remembered_loads() const {
    return study_.mean_loads(study_.first_remembered(window_ - 1), window_ - 1);
  }
  int adopt(ExpertPlacement placement) const { return study_.adopt(std::move(placement)); }
  // Had a candidate served the last window.
  [[nodiscard]] double last_window_seconds(int candidate) const {
    return study_.serving_seconds(candidate, window_ - 1);
  }
  // Moving before the last window: seconds lost to the move itself.
  [[nodiscard]] double migration_seconds(int candidate) const {
    return study_.cost(current_, candidate, window_ - 1).migration_s;
  }
  // Would what the candidate had gained on the last window, over `horizon` of them, exceed that?
  [[nodiscard]] bool pays(int candidate) const {
    const double gain = last_window_seconds(current_) - last_window_seconds(candidate);
    return gain * options().horizon > migration_seconds(candidate);
  }

 private:
  RebalanceStudy& study_;
  int window_;
  int current_;
};

// A plan made window after window: the first is served by the initial placement.
template <class Decide>
std::vector<int> plan_forward(RebalanceStudy& study, const Decide& decide) {
  std::vector<int> plan{0};
  for (int w = 1; w < study.windows(); ++w) {
    plan.push_back(decide(PastView(study, w, plan.back())));
  }
  return plan;
}

std::vector<int> plan_never(RebalanceStudy& study);
std::vector<int> plan_every_n(RebalanceStudy& study);
std::vector<int> plan_threshold(RebalanceStudy& study);
std::vector<int> plan_few_moves(RebalanceStudy& study);
std::vector<int> plan_eplb_periodic(RebalanceStudy& study);
std::vector<int> plan_oracle(RebalanceStudy& study);

}  // namespace moesim::rebalance
