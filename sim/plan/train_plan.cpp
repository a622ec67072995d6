#include "sim/plan/train_plan.h"

#include "sim/core/error.h"
#include "sim/plan/training_judge.h"

namespace moesim {
namespace {

// The scenario's own layout beside the best: what people run today, or what a paper found.
void add_given(const TrainingJudge& judge, const nlohmann::json& document, TrainPlan& plan) {
  if (!document.contains("parallelism")) {
    return;
  }
  try {
    const TrainLayout layout = judge.own_layout();
    if (layout.parallelism.ranks() != plan.devices) {
      return;
    }
    plan.given = RankedLayout{.layout = layout, .estimate = {}, .figures = judge.simulate(layout)};
  } catch (const ConfigError& error) {
    plan.warnings.push_back(std::string("the scenario's own layout is not simulated: ") +
                            error.what());
  }
}

}  // namespace

TrainPlan plan_training(const ScenarioDocument& document, const std::string& name,
                        const Library& library, const PlanOptions& options) {
  const SearchLimits limits = parse_search(document.json, name + "#");
  const TrainingJudge judge(document, name, library);
  const PlanProblem problem = judge.problem();
  constexpr double hour_s = 3600.0;
  TrainPlan plan{.model = judge.model().name,
                 .devices = problem.devices,
                 .usd_per_hour = judge.cluster().node.device.price.si() * problem.devices * hour_s,
                 .usable = judge.usable_memory(),
                 .search = search_layouts(problem, judge,
                                          {.limits = limits,
                                           .flops = weight_flops(problem, judge.peak_flops_per_s(),
                                                                 judge.capacity_factor()),
                                           .usable = judge.usable_memory(),
                                           .threads = options.threads,
                                           .progress = options.progress}),
                 .best_scenario = {},
                 .given = {},
                 .warnings = document.warnings};
  if (!plan.search.ranking.empty()) {
    plan.best_scenario = judge.effective(plan.search.ranking.front().layout);
  }
  add_given(judge, document.json, plan);
  plan.warnings.insert(plan.warnings.end(), plan.search.notes.begin(), plan.search.notes.end());
  return plan;
}

}  // namespace moesim
