// Published step times of training runs beside simulated ones.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "calibrate/validate/training_steps.h"
#include "sim/app/training_fit.h"
#include "sim/app/validate_training.h"

namespace moesim {

struct JudgedStep {
  TrainingPoint point;
  double predicted_s = 0;  // 0: the simulation refuses the row
  double naive_s = 0;      // 6 FLOP per active parameter and token at 40 % of the bf16 peak
  std::string refused;     // why
  double exposed_s = 0;    // communication, of predicted_s
  double bubble = 0;       // fraction
  FitRow fit;              // times with other coefficients of the framework
};

// In the order of the points. Throws ConfigError for damaged profiles.
std::vector<JudgedStep> predict_training_steps(const std::vector<TrainingPoint>& points,
                                               const ValidateTrainingOptions& options);

}  // namespace moesim
