// Interleaved 1F1B (Megatron-LM, arXiv:2104.04473, section 2.2; its VPP): a stage holds v chunks,
// part c P + s of the model is chunk c of stage s (P stages), and a micro-batch goes v times round.
// Chunks are taken in turns, P micro-batches each. Stage s goes 2(P - 1 - s) + (v - 1) P chunk
// passes ahead, then a forward and a backward in turns. With F and B a stage's times for all its
// chunks, the bubble is (P - 1)(F + B)/v; the first stage keeps v P + P - 1 chunks' activations,
// 1 + (P - 1)/(v P) times 1F1B's (arXiv:2205.05198, section 4.2.3).
//
// With pairs (Megatron's overlap_moe_expert_parallel_comm) a stage goes one pass further ahead, so
// that the forward and the backward of a turn do not wait for each other, and they run side by
// side.
#include <algorithm>

#include "sim/core/error.h"
#include "sim/core/index.h"
#include "sim/training/pipelines/pipelines.h"

namespace moesim {
namespace {

// The k-th chunk pass of every stage.
PipelineAction action(int k, const PipelineShape& shape, Pass pass) {
  const int round = shape.stages * shape.chunks;
  const int chunk = k % round / shape.stages;
  return {.pass = pass,
          .micro_batch = k / round * shape.stages + k % shape.stages,
          .chunk = pass == Pass::forward ? chunk : shape.chunks - 1 - chunk};
}

void check_shape(const PipelineShape& shape, const std::string& where) {
  if (shape.chunks < 2) {
    throw ConfigError(where, "interleaved needs vpp > 1; with one chunk per stage take 1f1b");
  }
  if (!shape.paths.empty()) {
    throw ConfigError(where, "interleaved has no paths of its own; `paths` has");
  }
  if (shape.micro_batches % shape.stages != 0) {
    throw ConfigError(where,
                      "interleaved takes micro-batches in rounds of as many as there are "
                      "stages: " +
                          std::to_string(shape.micro_batches) +
                          " micro-batches are no multiple of " + std::to_string(shape.stages) +
                          " stages");
  }
}

PipelineSchedule make(const PipelineShape& shape, const std::string& where) {
  check_shape(shape, where);
  PipelineSchedule schedule;
  schedule.part.resize(at(shape.stages));
  schedule.actions.resize(at(shape.stages));
  std::vector<ChunkPlace> path;
  for (int part = 0; part < shape.stages * shape.chunks; ++part) {
    schedule.part[at(part % shape.stages)].push_back(part);
    path.push_back({.stage = part % shape.stages, .chunk = part / shape.stages});
  }
  schedule.path.assign(at(shape.micro_batches), path);
  const int passes = shape.micro_batches * shape.chunks;
  for (int s = 0; s < shape.stages; ++s) {
    auto& order = schedule.actions[at(s)];
    const int ahead =
        std::min(passes, 2 * (shape.stages - 1 - s) + (shape.chunks - 1) * shape.stages +
                             (shape.pairs ? 1 : 0));
    for (int k = 0; k < ahead; ++k) {
      order.push_back(action(k, shape, Pass::forward));
    }
    for (int k = 0; k < passes; ++k) {
      if (ahead + k < passes) {
        order.push_back(action(ahead + k, shape, Pass::forward));
        order.back().beside_next = shape.pairs;
      }
      order.push_back(action(k, shape, Pass::backward));
    }
  }
  return schedule;
}

}  // namespace

PipelineEntry interleaved_entry() {
  return {.name = "interleaved",
          .summary = "1f1b with vpp chunks per stage: the bubble of 1f1b divided by vpp",
          .make = make};
}

}  // namespace moesim
