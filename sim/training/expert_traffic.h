// What a micro-batch's tokens do to the experts of one expert group: the same for every micro-batch
// and group. With forced balance every expert gets as much; else counts are those that a routing
// source may be expected to cause, one realisation per routing decision.
#pragma once

#include <vector>

#include "sim/engine/exchange/all_to_all_links.h"
#include "sim/engine/exchange/step_traffic.h"
#include "sim/training/training_system.h"

namespace moesim {

class ExpertTraffic {
 public:
  // Nothing to ask of a model without routed experts.
  ExpertTraffic(const TrainingSystem& system, int threads);

  // Decisions that differ: those of the model, or one that stands for all.
  [[nodiscard]] int decisions() const { return static_cast<int>(traffic_.layers.size()); }
  // Tokens that a rank dispatches.
  [[nodiscard]] std::int64_t tokens() const { return tokens_; }
  [[nodiscard]] LayerDemand demand(std::int32_t decision) const;
  // The rows of a unit's experts, of all ranks that slice them.
  [[nodiscard]] ExpertShard shard(std::int32_t decision, int unit) const;
  // Rows that a unit's ranks gather from each other.
  [[nodiscard]] double busiest_rows(std::int32_t decision) const;
  // (token, expert) pairs of the busiest unit over the mean, mean over decisions.
  [[nodiscard]] double max_over_mean() const;
  [[nodiscard]] double dropped_share() const { return pairs_ > 0 ? dropped_ / pairs_ : 0.0; }

 private:
  void drop_beyond_capacity(double factor);

  const TrainingSystem& system_;
  std::int64_t tokens_ = 0;
  StepTraffic traffic_;
  double pairs_ = 0.0;
  double dropped_ = 0.0;
};

// The all-to-all of all expert groups of a stage at once, or of one.
AllToAllLowering stage_all_to_all(const TrainingSystem& system, int stage,
                                  std::span<const std::vector<int>> lanes);

}  // namespace moesim
