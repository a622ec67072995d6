// 1F1B (PipeDream-Flush, arXiv:2006.09503; Megatron-LM): a stage runs as many forwards as there are
// stages from it to the end, then a backward and a forward in turns, then the backwards that are
// left. With F and B a stage's times, the bubble is (stages - 1)(F + B); stage s keeps stages - s
// micro-batches.
//
// With pairs, a forward runs beside the backward before it in the turns. The two must be of
// different micro-batches and neither may wait for the other on its way through the stages behind,
// so a stage goes two micro-batches ahead for every stage behind it instead of one (as Megatron's
// overlap_moe_expert_parallel_comm does within interleaved).
#include <algorithm>

#include "sim/core/index.h"
#include "sim/training/pipelines/pipelines.h"

namespace moesim {
namespace {

PipelineSchedule make(const PipelineShape& shape, const std::string& where) {
  PipelineSchedule schedule = straight_pipeline(shape, "1f1b", true, where);
  for (int s = 0; s < shape.stages; ++s) {
    auto& order = schedule.actions[at(s)];
    const int behind = shape.stages - 1 - s;
    const int ahead = std::min((shape.pairs ? 2 * behind : behind) + 1, shape.micro_batches);
    for (int forward = 0; forward < ahead; ++forward) {
      order.push_back({.pass = Pass::forward, .micro_batch = forward});
    }
    for (int backward = 0; backward < shape.micro_batches; ++backward) {
      const bool more = ahead + backward < shape.micro_batches;
      order.push_back({.pass = Pass::backward,
                       .micro_batch = backward,
                       .chunk = 0,
                       .beside_next = shape.pairs && more});
      if (more) {
        order.push_back({.pass = Pass::forward, .micro_batch = ahead + backward});
      }
    }
  }
  return schedule;
}

}  // namespace

PipelineEntry one_f_one_b_entry() {
  return {.name = "1f1b",
          .summary =
              "one forward, one backward in turns: activations of at most as many"
              " micro-batches as there are stages",
          .make = make};
}

}  // namespace moesim
