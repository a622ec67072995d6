// Zero bubble (arXiv:2401.10241, section 2): the backward is cut into gradients of inputs, which
// the stage before waits for, and gradients of weights, which nobody waits for. Below, F, B and W
// are a stage's times for forward, input gradients alone and weight gradients (DeepSeek-V3's B is
// our B + W).
//
// ZB-H1 (called ZB1P elsewhere) goes ahead as 1F1B does, and stage s keeps s weight gradients back,
// so that every stage keeps the activations of P micro-batches (P stages): 1F1B's peak. The bubble
// is (P - 1)(F + B - W).
//
// ZB-H2 goes 2(P - 1 - s) forwards ahead and keeps 2s weight gradients back: activations of 2P - 1
// micro-batches, and from its first to its last pass the first stage idles for
// (P - 1)(F + B - 2W), which is nothing with F = B = W: a parallelogram, whose next iteration can
// follow at once if stages need not wait for each other's gradients.
#include <algorithm>

#include "sim/core/index.h"
#include "sim/training/pipelines/pipelines.h"

namespace moesim {
namespace {

// Per stage: `ahead` forwards, then forward, input gradients and, once more than `back` of them
// wait, the oldest weight gradients.
std::vector<PipelineAction> order_of(int micro_batches, int ahead, int back) {
  std::vector<PipelineAction> order;
  const int first = std::min(ahead, micro_batches);
  for (int forward = 0; forward < first; ++forward) {
    order.push_back({.pass = Pass::forward, .micro_batch = forward});
  }
  int weights = 0;
  for (int backward = 0; backward < micro_batches; ++backward) {
    if (first + backward < micro_batches) {
      order.push_back({.pass = Pass::forward, .micro_batch = first + backward});
    }
    order.push_back({.pass = Pass::input_grad, .micro_batch = backward});
    if (backward + 1 - weights > back) {
      order.push_back({.pass = Pass::weight_grad, .micro_batch = weights++});
    }
  }
  for (; weights < micro_batches; ++weights) {
    order.push_back({.pass = Pass::weight_grad, .micro_batch = weights});
  }
  return order;
}

// `factor` 1: H1, 2: H2.
PipelineSchedule make(const PipelineShape& shape, std::string_view name, int factor,
                      const std::string& where) {
  PipelineSchedule schedule = straight_pipeline(shape, name, false, where);
  for (int s = 0; s < shape.stages; ++s) {
    schedule.actions[at(s)] =
        order_of(shape.micro_batches, factor * (shape.stages - 1 - s), factor * s);
  }
  return schedule;
}

}  // namespace

PipelineEntry zb_h1_entry() {
  return {.name = "zb_h1",
          .summary =
              "zero bubble H1 (ZB1P): weight gradients fill the bubble; activations as with"
              " 1f1b",
          .make = [](const PipelineShape& shape, const std::string& where) {
            return make(shape, "zb_h1", 1, where);
          }};
}

PipelineEntry zb_h2_entry() {
  return {.name = "zb_h2",
          .summary = "zero bubble H2: no bubble within a stage; twice the activations of 1f1b",
          .make = [](const PipelineShape& shape, const std::string& where) {
            return make(shape, "zb_h2", 2, where);
          }};
}

}  // namespace moesim
