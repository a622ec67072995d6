// What the exchanges of an iteration put on links, and how long they take.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/engine/lowering/lowering.h"
#include "sim/training/expert_traffic.h"
#include "sim/training/iteration_work.h"
#include "sim/training/stage_groups.h"
#include "sim/training/training_system.h"

namespace moesim {

RankGroup group_of(ExchangeKind kind);
Category category_of(ExchangeKind kind);
std::string_view label_of(ExchangeKind kind);

struct FamilyCost {
  CollectiveCost cost;
  std::string family;  // of its law
};

// `group`: position in groups_of() for the kind's ranks, or -1: all of the stage's groups at once.
class ExchangeCosts {
 public:
  // Both must outlive this.
  ExchangeCosts(const TrainingSystem& system, const ExpertTraffic& traffic)
      : system_(system), traffic_(traffic) {}

  FamilyCost collective(ExchangeKind kind, int stage, int group, std::int32_t decision);
  // Gathers (weights) or reduces (gradients) so many parameters over the ranks that share them.
  FamilyCost parameters(ExchangeKind kind, RankGroup over, double count, int stage, int group);
  // To another stage: from one rank, or from all (-1).
  FamilyCost send(int from_stage, int to_stage, int rank);

  // Of every kind of exchange that was asked for.
  [[nodiscard]] std::vector<CommProvenance> laws() const;

 private:
  CollectiveCost cost_of(CollectiveOp op, RankGroup over, int stage, int group, Bytes bytes);
  CollectiveCost all_to_all(ExchangeKind kind, int stage, int group, std::int32_t decision);
  const FoundCollective& law_of(CollectiveOp op);
  [[nodiscard]] std::vector<std::vector<int>> devices_of(RankGroup over, int stage,
                                                         int group) const;
  [[nodiscard]] double kv_width() const;
  [[nodiscard]] Bytes bytes_of(ExchangeKind kind, std::int32_t decision) const;

  const TrainingSystem& system_;
  const ExpertTraffic& traffic_;
  std::map<std::pair<int, int>, AllToAllLowering> all_to_all_;  // by stage and group
  std::map<CollectiveOp, FoundCollective> laws_;
  std::map<std::string, FoundCollective> used_laws_;
};

}  // namespace moesim
