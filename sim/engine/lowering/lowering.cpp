#include "sim/engine/lowering/lowering.h"

#include "sim/engine/lowering/graph_builder.h"
#include "sim/engine/lowering/step_expansion.h"
#include "sim/engine/lowering/step_work.h"
#include "sim/engine/schedule/schedule.h"

namespace moesim {
namespace {

Work work_of(const LoweringInput& input) {
  return step_work(
      input.model,
      {.micro_batches = find_overlap(input.policy.overlap, "policy/overlap").micro_batches,
       .tensor_parallel = input.ranks.parallelism().attention_tp > 1,
       .attention_split = input.policy.overlap_options.attention_split,
       .gathers_contexts = input.policy.residency == TokenResidency::last_expert});
}

Schedule schedule_of(const LoweringInput& input, const Work& work) {
  return find_overlap(input.policy.overlap, "policy/overlap")
      .make(work, input.policy.overlap_options);
}

// Not less than a step's tasks and edges, and about its needs: memory that is not used costs
// nothing, growing does.
GraphSize first_size(const LoweringInput& input, const Work& work) {
  const auto ranks = static_cast<std::size_t>(input.ranks.ranks());
  GraphSize size;
  size.tasks = work.nodes().size() * ranks;
  size.edges = 2 * size.tasks;
  for (const WorkNode& node : work.nodes()) {
    const bool exchanges = node.kind == WorkKind::dispatch || node.kind == WorkKind::combine;
    size.needs += exchanges ? input.topology.links().size() : 2 * ranks;
  }
  size.touched = size.needs;
  return size;
}

}  // namespace

// Stays where it is: the expansion refers to the rest.
struct StepLowering::Kept {
  explicit Kept(const LoweringInput& fixed)
      : input(fixed),
        work(work_of(input)),
        schedule(schedule_of(input, work)),
        expansion(input, work, input.policy.overlap_options.attention_split),
        size(first_size(input, work)) {}

  LoweringInput input;
  Work work;
  Schedule schedule;
  StepExpansion expansion;
  GraphSize size;  // of the step before, or a guess
};

StepLowering::StepLowering(const LoweringInput& fixed) : kept_(std::make_unique<Kept>(fixed)) {}
StepLowering::~StepLowering() = default;
StepLowering::StepLowering(StepLowering&&) noexcept = default;
StepLowering& StepLowering::operator=(StepLowering&&) noexcept = default;

LoweredStep StepLowering::lower(std::span<const MicroBatch> micro_batches) {
  kept_->input.micro_batches = micro_batches;
  LoweredStep step;
  step.graph.reserve(kept_->size);
  kept_->expansion.begin(step);
  build_graph(kept_->work, kept_->schedule, kept_->expansion, step.graph);
  kept_->expansion.finish(kept_->schedule.streams);
  kept_->size = step.graph.size();
  kept_->input.micro_batches = {};
  return step;
}

}  // namespace moesim
