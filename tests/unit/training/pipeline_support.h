// Schedules by name, for the tests of pipelines.
#pragma once

#include <string_view>

#include "sim/training/pipeline_times.h"

namespace moesim::test {

inline PipelineSchedule schedule_of(std::string_view name, int stages, int micro_batches,
                                    int chunks = 1, bool pairs = false) {
  return find_pipeline(name, "test")
      .make({.stages = stages, .chunks = chunks, .micro_batches = micro_batches, .pairs = pairs},
            "test");
}

// All parts alike; F, input gradients, weight gradients.
inline IdealPipeline alike(double f, double b, double w) {
  return {.parts = {{.forward = Seconds(f), .input_grad = Seconds(b), .weight_grad = Seconds(w)}},
          .send = Seconds(0)};
}

}  // namespace moesim::test
