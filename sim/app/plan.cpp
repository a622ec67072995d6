#include "sim/app/plan.h"

#include "sim/core/error.h"
#include "sim/training/train_scenario.h"

namespace moesim {

TrainPlan plan(const ScenarioDocument& document, const std::string& name, const Library& library,
               const PlanOptions& options) {
  if (!is_training(document.json)) {
    throw ConfigError(name + "#/workload/kind",
                      "plan searches layouts of training iterations; the kind must be \"train\"");
  }
  return plan_training(document, name, library, options);
}

}  // namespace moesim
