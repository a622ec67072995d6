// DualPipe (DeepSeek-V3, arXiv:2412.19437, section 3.2.1; order of passes after
// github.com/deepseek-ai/DualPipe, read 2026-11): micro-batches enter at both ends. Half of them go
// from the first stage to the last, half the other way, so a stage s of P holds two parts of the
// model, s (chunk 0) and P - 1 - s (chunk 1): parameters twice. A forward of one direction runs
// beside a backward of the other. With F, B, W times of a forward, a whole backward and weight
// gradients alone, and F&B of the two side by side, the bubble is (P/2 - 1)(F&B + B - 3W); exactly
// so for B - W = F, on the four stages in the middle, and on all of them with F&B = F + B. A stage
// keeps the activations of P + 1 micro-batches.
//
// P is even, and there are at least 2P micro-batches, an even number. The first half of them goes
// down (stage 0 first), the second half up.
#include <algorithm>
#include <array>
#include <deque>

#include "sim/core/error.h"
#include "sim/core/index.h"
#include "sim/training/pipelines/pipelines.h"

namespace moesim {
namespace {

// Appends passes of one stage. Direction 0 enters at the stage's own end of the pipeline, 1 at the
// other end; stages of the second half see chunk 1 as direction 0.
class StageOrder {
 public:
  StageOrder(bool second_half, int half_micro_batches)
      : second_half_(second_half), half_(half_micro_batches) {}

  void forward(int direction, bool beside_next = false) {
    push(Pass::forward, direction, forwards_[at(direction)]++, beside_next);
  }
  void backward(int direction) {
    push(Pass::backward, direction, backwards_[at(direction)]++, false);
  }
  void input_grad(int direction) {
    push(Pass::input_grad, direction, backwards_[at(direction)]++, false);
    waiting_.push_back(order.back());
  }
  void weight_grad() {
    order.push_back(waiting_.front());
    order.back().pass = Pass::weight_grad;
    waiting_.pop_front();
  }
  void backward(int direction, bool split) { split ? input_grad(direction) : backward(direction); }
  void pair(int forward_direction, int backward_direction) {
    forward(forward_direction, true);
    backward(backward_direction);
  }

  std::vector<PipelineAction> order;

 private:
  void push(Pass pass, int direction, int index, bool beside_next) {
    const int chunk = second_half_ ? 1 - direction : direction;
    order.push_back({.pass = pass,
                     .micro_batch = chunk * half_ + index,
                     .chunk = chunk,
                     .beside_next = beside_next});
  }

  bool second_half_;
  int half_;
  std::array<int, 2> forwards_{};
  std::array<int, 2> backwards_{};
  std::deque<PipelineAction> waiting_;  // weight gradients, oldest first
};

// `from_end`: stages between this one and its own end of the pipeline; `inwards`: between it and
// the middle.
void fill(StageOrder& stage, int from_end, int inwards) {
  for (int i = 0; i < 2 * inwards; ++i) {
    stage.forward(0);
  }
  for (int i = 0; i <= from_end; ++i) {
    stage.forward(0);
    stage.forward(1);
  }
  for (int i = 0; i < inwards; ++i) {
    stage.input_grad(1);
    stage.weight_grad();
    stage.forward(1);
  }
}

void turn(StageOrder& stage, int turns, int inwards) {
  for (int i = 0; i < turns; ++i) {
    if (i == 0 && inwards == 0) {
      // The stage in the middle has to send its forward on before its backward can end.
      stage.forward(0);
      stage.backward(1);
    } else {
      stage.pair(0, 1);
    }
    stage.pair(1, 0);
  }
  for (int i = 0; i < inwards; ++i) {
    stage.backward(1);
    stage.pair(1, 0);
  }
}

void drain(StageOrder& stage, int from_end, int inwards) {
  const int middle = (from_end + 1) / 2;
  const bool odd = from_end % 2 == 1;
  for (int i = 0; i <= from_end; ++i) {
    stage.backward(1, odd ? i >= middle : i > middle);
    stage.backward(0, i >= middle);
  }
  for (int i = 0; i < inwards; ++i) {
    stage.weight_grad();
    stage.input_grad(0);
  }
  for (int i = 0; i <= from_end; ++i) {
    stage.weight_grad();
  }
}

void check_shape(const PipelineShape& shape, const std::string& where) {
  if (shape.chunks != 1) {
    throw ConfigError(where,
                      "dualpipe places two parts of the model on a stage by itself; vpp is 1");
  }
  if (!shape.paths.empty()) {
    throw ConfigError(where, "dualpipe has no paths of its own; `paths` has");
  }
  if (shape.stages % 2 != 0) {
    throw ConfigError(where, "dualpipe needs an even number of stages");
  }
  if (shape.micro_batches % 2 != 0 || shape.micro_batches < 2 * shape.stages) {
    throw ConfigError(where,
                      "dualpipe needs an even number of micro-batches, at least two per "
                      "stage (" +
                          std::to_string(2 * shape.stages) + "); there are " +
                          std::to_string(shape.micro_batches));
  }
}

PipelineSchedule make(const PipelineShape& shape, const std::string& where) {
  check_shape(shape, where);
  const int half = shape.stages / 2;
  PipelineSchedule schedule;
  std::vector<ChunkPlace> down;
  std::vector<ChunkPlace> up;
  for (int s = 0; s < shape.stages; ++s) {
    const int from_end = std::min(s, shape.stages - 1 - s);
    const int inwards = half - from_end - 1;
    StageOrder stage(s >= half, shape.micro_batches / 2);
    fill(stage, from_end, inwards);
    turn(stage, shape.micro_batches / 2 - shape.stages + from_end + 1, inwards);
    drain(stage, from_end, inwards);
    schedule.actions.push_back(std::move(stage.order));
    schedule.part.push_back({s, shape.stages - 1 - s});
    down.push_back({.stage = s, .chunk = 0});
    up.push_back({.stage = shape.stages - 1 - s, .chunk = 1});
  }
  schedule.path.assign(at(shape.micro_batches / 2), down);
  schedule.path.insert(schedule.path.end(), at(shape.micro_batches / 2), up);
  return schedule;
}

}  // namespace

PipelineEntry dualpipe_entry() {
  return {.name = "dualpipe",
          .summary =
              "DeepSeek-V3's: from both ends, forwards beside backwards; parameters twice,"
              " activations of stages + 1 micro-batches",
          .make = make};
}

}  // namespace moesim
