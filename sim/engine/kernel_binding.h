// Reads the laws of a scenario's kernels before its first step does.
#pragma once

#include "models/kernels/kernel_model.h"
#include "models/operators/operators.h"
#include "sim/engine/step_batch.h"

namespace moesim {

// Asks for a small kernel of every kind that such a step of this model runs, so that profiles are
// read while a simulation is built and what is wrong in them is told then. Throws ConfigError.
void bind_kernels(const KernelModel& kernels, const MoeModel& model, const StepBatch& batch,
                  const OpPrecision& precision, ExpertLayout layout);

}  // namespace moesim
