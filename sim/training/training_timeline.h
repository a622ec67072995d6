// A picture of an iteration: one process per stage, one lane per stream.
#pragma once

#include <string>

#include "sim/training/training_run.h"

namespace moesim {

// Chrome/Perfetto trace JSON: every action of the pipeline in a lane of its own above the kernels'
// and exchanges' lanes, so that a stage's schedule is to be seen at a glance.
std::string training_timeline(const TrainingRun& run);

}  // namespace moesim
