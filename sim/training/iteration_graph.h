// One training iteration as a task graph: the pipeline schedule's actions, stage by stage, with the
// kernels and exchanges of their passes, the reduction of gradients and the optimizer.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/engine/lowered_step.h"
#include "sim/training/iteration_expansion.h"
#include "sim/training/training_system.h"

namespace moesim {

// The tasks of an action of a stage: it begins with the first of them and ends with the last.
struct ActionTasks {
  std::int32_t stage = 0;
  PipelineAction action;
  std::vector<TaskId> first{};
  std::vector<TaskId> last{};
};

struct IterationGraph {
  LoweredStep step;  // devices: those that are simulated, one per stage if ranks are folded
  std::vector<ActionTasks> actions;
  std::vector<std::string> stream_names;  // by stream, for pictures
  double model_flops = 0.0;               // of all devices, by the convention of README.md
  double hardware_flops = 0.0;            // the same with what is worked out again
  double link_joules = 0.0;
  double max_over_mean = 1.0;                  // of the experts' load
  double dropped_share = 0.0;                  // of (token, expert) pairs, by the capacity factor
  std::map<std::string, std::string> derived;  // see IterationExpansion
  std::vector<CommProvenance> laws;            // of exchanges
};

IterationGraph build_iteration(const TrainingSystem& system, int threads);

}  // namespace moesim
