#include "sim/engine/placement_verdict.h"

#include "sim/core/rng.h"
#include "sim/engine/results/metrics.h"

namespace moesim {
namespace {

VerdictRow mean_step(Simulation& simulation, const NamedPlacement& named, bool unseen, int batches,
                     const Backend& backend) {
  VerdictRow row{.placement = named.name, .unseen = unseen};
  simulation.use_placement(named.placement);
  const std::uint64_t first = statistics_seed(simulation.scenario().seed);
  for (std::uint64_t n = 0; n < static_cast<std::uint64_t>(batches); ++n) {
    // The first in-sample batch has the seed of the statistics.
    const std::uint64_t seed = unseen   ? mix64(first + 0x75eedULL + n)
                               : n == 0 ? first
                                        : mix64(first + n);
    const StepOutcome step = simulation.run_batch(seed, backend);
    const StepMetrics metrics = step_metrics(simulation, {step.result.makespan_s}, step);
    row.step_s += metrics.step_s / batches;
    row.balancedness += 1.0 / metrics.max_over_mean / batches;
    row.cross_node_ratio += metrics.cross_node_ratio / batches;
    row.exposed_communication_s += metrics.exposed_communication_s / batches;
  }
  return row;
}

}  // namespace

std::vector<VerdictRow> placement_verdict(Simulation& fitted, Simulation& unseen,
                                          std::span<const NamedPlacement> placements, int batches,
                                          const Backend& backend,
                                          const std::function<void(double)>& progress) {
  std::vector<VerdictRow> rows;
  // A generator's further in-sample batches would be as unseen as any.
  const int fitted_batches = &fitted == &unseen ? 1 : batches;
  for (const NamedPlacement& named : placements) {
    rows.push_back(mean_step(fitted, named, false, fitted_batches, backend));
    rows.push_back(mean_step(unseen, named, true, batches, backend));
    progress(static_cast<double>(rows.size()) / (2.0 * static_cast<double>(placements.size())));
  }
  return rows;
}

}  // namespace moesim
