// What the nodes of a step are on the machine: kernels of the batch that a rank holds, and
// exchanges between ranks.
#pragma once

#include <map>
#include <vector>

#include "sim/engine/exchange/collective_links.h"
#include "sim/engine/lowering/expert_index.h"
#include "sim/engine/lowering/graph_builder.h"
#include "sim/engine/lowering/interference.h"
#include "sim/engine/lowering/kernel_programs.h"
#include "sim/engine/lowering/step_exchange.h"

namespace moesim {

// What the work and its schedule mean for costs.
struct ExpansionOptions {
  bool attention_split = false;
  PartRule rule = PartRule::whole;
  bool gathers_in_units = false;
  bool interferes = false;  // kernels run beside communication, and are slowed by it
};

class StepExpansion final : public WorkExpansion {
 public:
  // The micro-batches are those that `input` has at begin().
  StepExpansion(const LoweringInput& input, const Work& work, const ExpansionOptions& options);

  // Forgets all that depends on an earlier step's micro-batches.
  void begin(LoweredStep& step);

  [[nodiscard]] RankRange ranks_of(int stage) const override;
  ProgramId chain(std::span<const std::int32_t> nodes, int rank) override;
  [[nodiscard]] std::int32_t resource_offset(int rank) const override;
  [[nodiscard]] int groups(std::int32_t node) const override;
  [[nodiscard]] std::span<const int> ranks_of_group(std::int32_t node, int group) const override;
  ProgramId collective(std::int32_t node, int group) override;
  [[nodiscard]] int lane(std::int32_t node, int group) const override;
  [[nodiscard]] std::span<const int> peers(int rank) const override;
  ProgramId nothing() override;
  [[nodiscard]] std::int32_t label(std::span<const std::int32_t> nodes) const override;

  // Sums and loads of the whole step, and who is on which stream; called once, at the end of a
  // step.
  void finish(int streams);

 private:
  // What a rank works on outside its experts. Ranks and micro-batches of one kind share programs.
  struct Kind {
    std::int64_t tokens = 0;  // as the kernels run: filled up to a captured size
    std::vector<AttentionBatch> batches;
    RankBatch given;
  };
  [[nodiscard]] std::int32_t kind_of(const RankBatch& batch);
  [[nodiscard]] std::int32_t kind_on(const WorkNode& node, int rank);
  [[nodiscard]] std::int32_t kind_of_resting(const WorkNode& node, int rank);
  const std::vector<KernelPrograms::Estimated>& part(const WorkNode& node, std::int32_t kind);
  [[nodiscard]] std::int64_t part_key(const WorkNode& node, std::int32_t kind) const;
  ProgramId kind_program(std::span<const std::int32_t> nodes, std::int32_t kind);
  ProgramId expert_program(const WorkNode& node, int rank);
  ProgramId tensor_sum(const WorkNode& node, CollectiveOp op, int group);
  ProgramId exchange(const WorkNode& node, int group);
  ProgramId unit_exchange(const WorkNode& node, int unit);
  ProgramId context_gather(const WorkNode& node, int group);
  // Of a collective's program: what it takes from kernels beside it.
  ProgramId beside(ProgramId program, std::string_view communication, std::span<const int> devices);
  const FoundCollective& law_of(CollectiveOp op);
  [[nodiscard]] const Block& block_of(const WorkNode& node) const {
    return in_.model.layer(static_cast<std::size_t>(node.layer));
  }
  [[nodiscard]] const FfnGroup& ffn_of(const WorkNode& node) const {
    return block_of(node).ffn[static_cast<std::size_t>(node.entry)];
  }

  const LoweringInput& in_;
  const Work& work_;
  ExpansionOptions options_;
  Interference interference_;
  LoweredStep* step_ = nullptr;
  KernelPrograms programs_;
  StepExchange exchange_;
  CollectiveLowering collectives_;
  std::vector<std::vector<int>> tensor_groups_;
  std::vector<std::vector<int>> expert_groups_;
  std::vector<std::vector<int>> tensor_devices_;  // of these ranks
  std::vector<std::vector<int>> expert_devices_;
  std::vector<std::vector<int>> units_;  // of all groups, in order: their ranks
  std::vector<std::vector<int>> unit_devices_;
  std::map<RankBatch, std::int32_t> kind_of_batch_;
  std::vector<Kind> kinds_;
  std::vector<std::vector<std::int32_t>> kind_of_;  // by micro-batch, by kind of its StepBatch
  std::map<std::int64_t, std::vector<KernelPrograms::Estimated>> parts_;
  std::map<std::vector<std::int64_t>, ProgramId> chains_;
  // Block, FFN entry and what its experts work on: all that an expert kernel depends on. Groups
  // and micro-batches repeat each other.
  ExpertIndex experts_;
  std::map<CollectiveOp, FoundCollective> laws_;
  // The chain that is being asked for, rank by rank: its programs by kind.
  std::int32_t current_ = -1;
  std::vector<ProgramId> current_program_;
  std::vector<std::int64_t> key_;  // scratch
};

}  // namespace moesim
