#include "sim/engine/lowering/lowering.h"

#include "sim/engine/lowering/graph_builder.h"
#include "sim/engine/lowering/step_expansion.h"
#include "sim/engine/lowering/step_work.h"
#include "sim/engine/schedule/schedule.h"

namespace moesim {
namespace {

const OverlapEntry& overlap_of(const LoweringInput& input) {
  return find_overlap(input.policy.overlap, "policy/overlap");
}

Work work_of(const LoweringInput& input, const OverlapOptions& options) {
  const OverlapEntry& overlap = overlap_of(input);
  return step_work(input.model,
                   {.micro_batches = overlap.micro_batches,
                    .tensor_parallel = input.ranks.parallelism().attention_tp > 1,
                    .attention_split = splits_attention(overlap, options),
                    .gathers_contexts = input.policy.residency == TokenResidency::last_expert,
                    .rule = overlap.parts,
                    .parts = parts_of(overlap, options),
                    .gathers_in_units = overlap.gathers_in_units});
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
  Kept(const LoweringInput& fixed, const OverlapOptions& options)
      : input(fixed),
        work(work_of(input, options)),
        schedule(overlap_of(input).make(work, options)),
        expansion(input, work,
                  {.attention_split = splits_attention(overlap_of(input), options),
                   .rule = overlap_of(input).parts,
                   .gathers_in_units = overlap_of(input).gathers_in_units,
                   .interferes = schedule.streams > 1 && options.interference}),
        size(first_size(input, work)) {}

  LoweringInput input;
  Work work;
  Schedule schedule;
  StepExpansion expansion;
  GraphSize size;  // of the step before, or a guess
};

StepLowering::StepLowering(const LoweringInput& fixed, const OverlapOptions& options)
    : kept_(std::make_unique<Kept>(fixed, options)) {}
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
  if (kept_->schedule.streams > 1) {
    const auto names = overlap_of(kept_->input).streams;
    step.stream_names.assign(names.begin(), names.end());
  }
  kept_->size = step.graph.size();
  kept_->input.micro_batches = {};
  return step;
}

}  // namespace moesim
