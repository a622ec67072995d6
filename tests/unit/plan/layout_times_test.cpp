#include "sim/plan/layout_times.h"

#include <catch2/catch.hpp>

namespace moesim::test {
namespace {

TrainLayout layout_of(int stages, int chunks) {
  TrainLayout layout;
  layout.parallelism.pp = stages;
  layout.parallelism.vpp = chunks;
  return layout;
}

TEST_CASE("chunks hide what the passes of a group of micro-batches last", "[plan]") {
  const Seconds pass(0.1);
  CHECK(exposed_once(Seconds(1.0), pass, layout_of(4, 1), 8).si() == Approx(1.0));
  // Three chunks of four, beside three more micro-batches: 3/4 * 3 * 0.1 s.
  CHECK(exposed_once(Seconds(1.0), pass, layout_of(4, 4), 8).si() == Approx(1.0 - 0.225));
  // Two micro-batches make no larger group.
  CHECK(exposed_once(Seconds(1.0), pass, layout_of(4, 4), 2).si() == Approx(1.0 - 0.075));
  // All of it is hidden but what the last chunk has to itself.
  CHECK(exposed_once(Seconds(0.2), pass, layout_of(4, 4), 8).si() == Approx(0.05));
}

TEST_CASE("an estimate has what comes once in it", "[plan]") {
  const LayoutProbe probe{.stages = {{.forward = Seconds(1), .backward = Seconds(2)},
                                     {.forward = Seconds(2), .backward = Seconds(4)}},
                          .ahead = Seconds(0.4),
                          .gradients = Seconds(4),
                          .update = Seconds(0.25)};
  CHECK(estimated_time(probe, layout_of(2, 1), 8).si() == Approx(8 * 6 + 3 + 0.4 + 4 + 0.25));
  // Weights: 0.4/2; gradients: 4 - 1/2 * 1 * 2. The update is not in chunks.
  CHECK(estimated_time(probe, layout_of(2, 2), 8).si() == Approx(8 * 6 + 1.5 + 0.2 + 3 + 0.25));
}

}  // namespace
}  // namespace moesim::test
