// `moesim plan` of a training scenario: which layout is the fastest on its devices.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/core/progress.h"
#include "sim/engine/library.h"
#include "sim/engine/scenario_file.h"
#include "sim/plan/train_search.h"

namespace moesim {

struct PlanOptions {
  int threads = 1;  // results do not depend on it
  Progress progress = {};
};

struct TrainPlan {
  std::string model;
  int devices = 0;
  double usd_per_hour = 0.0;  // of all devices
  Bytes usable;               // of a device's memory
  SearchResult search;
  nlohmann::json best_scenario;       // effective; null if nothing fits
  std::optional<RankedLayout> given;  // the scenario's own layout, if it is legal
  std::vector<std::string> warnings;
};

// Throws ConfigError for scenarios that are no training iteration, or are wrong whatever the
// layout.
TrainPlan plan_training(const ScenarioDocument& document, const std::string& name,
                        const Library& library, const PlanOptions& options);

// answer, best {scenario, layout, metrics, devices, usd_per_hour}, given, ranking, pareto, binding,
// sensitivities, win_probability, evaluated, pruned {rank_maps, layouts}, warnings.
nlohmann::json to_json(const TrainPlan& plan);

}  // namespace moesim
