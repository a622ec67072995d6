// What `moesim simulate` does with a scenario whose workload is a training iteration.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "sim/app/simulate.h"
#include "sim/training/iteration_report.h"

namespace moesim {

struct TrainingResult {
  TrainingReport report;
  nlohmann::json scenario;  // effective: with every default and reference filled in
  HostTimes host;
  std::optional<CrosscheckReport> crosscheck;
  std::optional<std::vector<LawExplanation>> explanations;
  std::string timeline;  // Chrome/Perfetto trace JSON; empty unless asked for
};

// Throws ConfigError.
TrainingResult simulate_training(TrainScenario scenario, const Library& library,
                                 const SimulateOptions& options);

// The report document without `host`.
nlohmann::json to_json(const TrainingResult& result);

}  // namespace moesim
