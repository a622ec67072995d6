// Tokens to experts and back: what every routing decision of a step puts on ranks and links.
#pragma once

#include <vector>

#include "models/operators/operators.h"
#include "sim/engine/lowered_step.h"
#include "sim/engine/lowering/lowering.h"

namespace moesim {

class StepExchange {
 public:
  // The micro-batches are those that `input` has when it is asked.
  explicit StepExchange(const LoweringInput& input);

  // The input has other micro-batches.
  void begin_step();

  // One decision of one micro-batch in one expert group. Valid until another decision of the same
  // micro-batch and group is asked for.
  struct Exchange {
    std::int32_t decision = -1;
    CollectiveCost dispatch;
    CollectiveCost combine;
    bool comes_back = true;  // false: every result stays where it was computed
  };
  const Exchange& of(std::int32_t batch, std::int32_t decision, int group);

  // No unit of the group has a token: nothing is dispatched, computed or combined.
  [[nodiscard]] bool idles(std::int32_t batch, int group) const {
    return in_.micro_batches[static_cast<std::size_t>(batch)]
               .traffic.home[static_cast<std::size_t>(group)]
               .tokens() == 0;
  }

  // Of all groups.
  [[nodiscard]] const AllToAllEntry& algorithm() const { return all_to_all_.front().algorithm(); }

  // The routed experts of a unit.
  [[nodiscard]] ExpertShard shard(std::int32_t batch, std::int32_t decision, int group,
                                  int unit) const;

  // Loads of all groups and micro-batches, one row per decision. Every micro-batch waits for its
  // own busiest unit, so its maximum counts for itself.
  [[nodiscard]] std::vector<LayerLoad> loads() const;

 private:
  [[nodiscard]] std::int64_t rows_received(const LayerTraffic& traffic, std::int32_t batch,
                                           int group, int unit) const;
  void fill(std::int32_t batch, std::int32_t decision, int group, Exchange& exchange);

  const LoweringInput& in_;
  ExpertLayout layout_;
  std::vector<AllToAllLowering> all_to_all_;      // by group
  std::vector<std::vector<Exchange>> exchanges_;  // by micro-batch, by group
  CollectiveCost unused_;
};

}  // namespace moesim
