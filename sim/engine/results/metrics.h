// What a step's times mean to a planner.
#pragma once

#include <vector>

#include "sim/engine/results/device_time.h"
#include "sim/engine/simulation.h"

namespace moesim {

// One kind of link over the step.
struct LinkUse {
  LinkKind kind = LinkKind::device_up;
  int count = 0;
  double bytes = 0.0;             // payload
  double mean_utilisation = 0.0;  // share of the step that the link is occupied
  double max_utilisation = 0.0;
  std::string busiest;
};
std::vector<LinkUse> link_use(const Topology& topology, const StepOutcome& step);

struct StepMetrics {
  double step_s = 0.0;  // mean over the run's steps
  double mfu = 0.0;     // useful FLOPs / (devices * peak of the expert products' format * time)
  double mbu = 0.0;     // least memory traffic / (devices * memory bandwidth * time)
  double exposed_communication_s = 0.0;  // on the critical path
  double bubble_fraction = 0.0;          // mean share of the step that a device waits for others
  double max_over_mean = 1.0;            // expert ranks' load, mean over MoE layers
  double remote_ratio = 0.0;             // of the pairs: computed on another rank than the token's
  double cross_node_ratio = 0.0;         // of the pairs sent to another rank, or kept
  double token_transfers = 0.0;          // token copies that change their rank in the step
  double energy_j = 0.0;
  double cost_usd = 0.0;
  MeanDevice mean_device;  // of the last step
};
StepMetrics step_metrics(const Simulation& simulation, const std::vector<double>& steps,
                         const StepOutcome& last);

}  // namespace moesim
