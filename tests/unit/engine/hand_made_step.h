// Steps put together by hand: who runs how long where, after what.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "sim/engine/lowered_step.h"
#include "sim/flow/backend.h"

namespace moesim {

struct HandKernel {
  Category category;
  double seconds;
  std::string_view label = "kernel";
};

class HandMadeStep {
 public:
  // `streams`: the devices of each; streams 0 .. devices - 1 are the devices' own.
  HandMadeStep(int devices, std::vector<std::vector<std::int32_t>> streams) {
    step.devices = devices;
    step.stream_devices = std::move(streams);
    step.families = {{.name = "family"}};
    for (std::size_t c = 0; c < k_categories; ++c) {
      step.graph.label(std::string(name_of(static_cast<Category>(c))));
    }
  }

  // Runs the kernels one after the other, on nothing but their latency.
  TaskId task(StreamId stream, std::vector<HandKernel> kernels, std::vector<TaskId> after = {},
              std::int32_t layer = 0, const Rules& rules = {}) {
    const ProgramId program = step.graph.begin_program();
    step.first_kernel.push_back(static_cast<std::uint32_t>(step.kernels.size()));
    for (const HandKernel& kernel : kernels) {
      step.graph.add_segment(kernel.seconds, {});
      step.kernels.push_back({.label = kernel.label,
                              .category = kernel.category,
                              .family = 0,
                              .alone_s = kernel.seconds});
    }
    return step.graph.add_task({.program = program,
                                .stream = stream,
                                .label = static_cast<std::int32_t>(kernels.front().category),
                                .layer = layer},
                               after, rules);
  }

  [[nodiscard]] RunResult run() const { return make_fast_backend()->run(step.graph, true); }

  LoweredStep step;
};

}  // namespace moesim
