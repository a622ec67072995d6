#include "sim/engine/lowering/lowering.h"

#include "sim/engine/lowering/graph_builder.h"
#include "sim/engine/lowering/step_expansion.h"
#include "sim/engine/lowering/step_work.h"
#include "sim/engine/schedule/schedule.h"

namespace moesim {

LoweredStep lower_step(const LoweringInput& input) {
  const OverlapEntry& overlap = find_overlap(input.policy.overlap, "policy/overlap");
  const OverlapOptions& options = input.policy.overlap_options;
  const Work work = step_work(
      input.model, {.micro_batches = overlap.micro_batches,
                    .tensor_parallel = input.ranks.parallelism().attention_tp > 1,
                    .attention_split = options.attention_split,
                    .gathers_contexts = input.policy.residency == TokenResidency::last_expert});
  const Schedule schedule = overlap.make(work, options);
  LoweredStep step;
  StepExpansion expansion(input, work, options.attention_split, step);
  build_graph(work, schedule, expansion, step.graph);
  expansion.finish(schedule.streams);
  return step;
}

}  // namespace moesim
