// GPipe (arXiv:1811.06965): all forwards, then all backwards, last micro-batch first. With F and B
// a stage's times, the bubble is (stages - 1)(F + B), as 1F1B's; every stage keeps all
// micro-batches.
#include "sim/core/index.h"
#include "sim/training/pipelines/pipelines.h"

namespace moesim {
namespace {

PipelineSchedule make(const PipelineShape& shape, const std::string& where) {
  PipelineSchedule schedule = straight_pipeline(shape, "gpipe", false, where);
  for (auto& order : schedule.actions) {
    for (int forward = 0; forward < shape.micro_batches; ++forward) {
      order.push_back({.pass = Pass::forward, .micro_batch = forward});
    }
    for (int backward = shape.micro_batches - 1; backward >= 0; --backward) {
      order.push_back({.pass = Pass::backward, .micro_batch = backward});
    }
  }
  return schedule;
}

}  // namespace

PipelineEntry gpipe_entry() {
  return {.name = "gpipe",
          .summary = "all forwards, then all backwards: activations of every micro-batch",
          .make = make};
}

}  // namespace moesim
