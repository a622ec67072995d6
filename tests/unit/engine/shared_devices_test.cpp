// Several ranks on one device.
#include <catch2/catch.hpp>

#include "sim/core/error.h"
#include "tests/unit/engine/small_scenario.h"

using namespace moesim;
using moesim::testing::Ran;
using moesim::testing::simulation_of;
using moesim::testing::small_scenario;

// Eight ranks on four devices (r and r + 4 share one) put on a device's links what they would have
// put on those of two, and do the same work in more time.
TEST_CASE("ranks that share a device share its links", "[engine][unit]") {
  auto scenario = small_scenario(8, 16);
  scenario["parallelism"] = {{"attention", {{"tp", 2}, {"dp", 4}}},
                             {"experts", {{"ep", 4}, {"edp", 2}}}};
  const Ran apart(scenario);
  const Simulation four = simulation_of(small_scenario(4, 16));
  const RankMap shared(apart.simulation.system().ranks().parallelism(), 4);
  const LoweringInput all = lowering_input(apart.simulation.deployment(), apart.step.micro_batches);
  const LoweringInput input{.topology = four.topology(),
                            .model = all.model,
                            .kernels = all.kernels,
                            .comm_profiles = all.comm_profiles,
                            .comm_target = all.comm_target,
                            .ranks = shared,
                            .policy = all.policy,
                            .placement = all.placement,
                            .micro_batches = all.micro_batches};
  const LoweredStep step = StepLowering(input).lower(input.micro_batches);
  const LoweredStep& eight = apart.step.lowered;
  CHECK(step.devices == 4);
  CHECK(step.flops == eight.flops);
  CHECK(step.token_transfers == eight.token_transfers);
  const Topology& large = apart.simulation.topology();
  for (int device = 0; device < 4; ++device) {
    for (const bool up : {true, false}) {
      const auto of = [&](const Topology& topology, const LoweredStep& lowered, int d) {
        const int link = up ? topology.device_up(d) : topology.device_down(d);
        return lowered.link_bytes[static_cast<std::size_t>(link)];
      };
      CAPTURE(device, up);
      CHECK(of(four.topology(), step, device) > 0.0);
      CHECK(of(four.topology(), step, device) ==
            Approx(of(large, eight, device) + of(large, eight, device + 4)));
    }
  }
  const RunResult run = make_fast_backend()->run(step.graph, false);
  CHECK(run.makespan_s > 1.2 * apart.step_s());
  CHECK(run.makespan_s < 2.0 * apart.step_s());
  // Two ranks of one group on a device: their tokens would cross links that they need not cross.
  const RankMap crowded(shared.parallelism(), 2);
  const LoweringInput refused{.topology = four.topology(),
                              .model = all.model,
                              .kernels = all.kernels,
                              .comm_profiles = all.comm_profiles,
                              .comm_target = all.comm_target,
                              .ranks = crowded,
                              .policy = all.policy,
                              .placement = all.placement,
                              .micro_batches = all.micro_batches};
  CHECK_THROWS_AS(StepLowering(refused).lower(refused.micro_batches), InvariantError);
}
