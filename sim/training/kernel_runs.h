// The kernels of a run of an iteration's work, on one rank.
#pragma once

#include <vector>

#include "sim/engine/lowered_step.h"
#include "sim/training/backward_ops.h"
#include "sim/training/expert_traffic.h"
#include "sim/training/iteration_work.h"

namespace moesim {

Category category_of(KernelPart part);

// In the order in which they run. `unit`: of the rank, for experts. Forward kernels are those of a
// prefill without cache; with context parallelism a rank's queries see half of the sequence and
// half of their own rows (each rank has two pieces, one from either end, so that causal work is
// even: arXiv:2311.09431, Megatron-LM).
std::vector<TrainKernel> kernels_of(const TrainingSystem& system, const ExpertTraffic& traffic,
                                    const KernelRun& run, int unit);

}  // namespace moesim
