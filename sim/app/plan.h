// What `moesim plan` does: typed in, typed out.
#pragma once

#include <string>

#include "sim/plan/train_plan.h"

namespace moesim {

// Of a training scenario. Throws ConfigError, also for other kinds of workload.
TrainPlan plan(const ScenarioDocument& document, const std::string& name, const Library& library,
               const PlanOptions& options);

}  // namespace moesim
