// Tokens to experts and back: what every routing decision of a step puts on ranks and links.
#pragma once

#include <vector>

#include "models/operators/operators.h"
#include "sim/engine/lowered_step.h"
#include "sim/engine/lowering/lowering.h"
#include "sim/engine/schedule/schedule.h"

namespace moesim {

class StepExchange {
 public:
  // The micro-batches are those that `input` has when it is asked.
  // `slices`: ranks of a unit
  // send and receive a part of its rows each, which they gather themselves.
  explicit StepExchange(const LoweringInput& input, PartRule rule = PartRule::whole,
                        bool slices = false);

  // The input has other micro-batches.
  void begin_step();

  // One part of one decision of one micro-batch in one expert group. Valid until another decision
  // of the same micro-batch, part and group is asked for.
  struct Exchange {
    std::int32_t decision = -1;
    CollectiveCost dispatch;
    CollectiveCost combine;
    bool comes_back = true;  // false: every result stays where it was computed
  };
  const Exchange& of(const WorkNode& node, int group);

  // No unit of the group has a token: nothing is dispatched, computed or combined.
  [[nodiscard]] bool idles(std::int32_t batch, std::int32_t part, int group) const {
    return traffic_of(batch, part).home[static_cast<std::size_t>(group)].tokens() == 0;
  }

  // Parts are rows of one exchange, which some ranks may not have.
  [[nodiscard]] bool cuts_rows() const {
    return rule_ == PartRule::halves || rule_ == PartRule::sources;
  }

  // Of all groups.
  [[nodiscard]] const AllToAllEntry& algorithm() const { return all_to_all_.front().algorithm(); }

  // The routed experts of a unit, or the node's part of them.
  [[nodiscard]] ExpertShard shard(const WorkNode& node, int group, int unit) const;

  // Loads of all groups, micro-batches and chunks, one row per decision. Each of these waits for
  // its own busiest unit, so its maximum counts for itself.
  [[nodiscard]] std::vector<LayerLoad> loads() const;

 private:
  [[nodiscard]] const StepTraffic& traffic_of(std::int32_t batch, std::int32_t part) const {
    return in_.micro_batches[static_cast<std::size_t>(batch)].chunk(rule_ == PartRule::chunks ? part
                                                                                              : 0);
  }
  [[nodiscard]] std::int64_t rows_received(const LayerTraffic& traffic, const StepTraffic& step,
                                           int group, int unit) const;
  void fill(const WorkNode& node, int group, Exchange& exchange);
  void fill_source(const LayerDemand& demand, SourcePart part, int group, Exchange& exchange);

  const LoweringInput& in_;
  PartRule rule_;
  double share_ = 1.0;  // of a unit's rows that each of its ranks exchanges
  ExpertLayout layout_;
  std::vector<AllToAllLowering> all_to_all_;  // by group
  // By micro-batch and group: parts side by side.
  std::vector<std::vector<std::vector<Exchange>>> exchanges_;
  CollectiveCost unused_;
  LayerTraffic scratch_;
};

}  // namespace moesim
