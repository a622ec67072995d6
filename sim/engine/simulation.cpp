#include "sim/engine/simulation.h"

#include <chrono>

#include "sim/core/rng.h"
#include "sim/engine/step_draw.h"
#include "workloads/sources/expected_routing.h"

namespace moesim {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Also says how long that took.
Deployment deploy(Scenario scenario, const Library& library, int threads, HostTimes& host) {
  auto start = std::chrono::steady_clock::now();
  auto system = std::make_shared<const System>(std::move(scenario), library);
  host.load_s = seconds_since(start);
  start = std::chrono::steady_clock::now();
  ExpertPlacement placement = system->place_experts(threads);
  Deployment deployment(std::move(system), std::move(placement));
  host.placement_s = seconds_since(start);
  return deployment;
}

}  // namespace

Simulation::Simulation(Scenario scenario, const Library& library, int threads)
    : threads_(threads),
      deployment_(deploy(std::move(scenario), library, threads, host_)),
      runner_(threads) {}

void Simulation::use_placement(ExpertPlacement placement) {
  deployment_ = Deployment(deployment_.shared_system(), std::move(placement));
}

StepOutcome Simulation::run_step(int index, const Backend& backend, bool record_segments) {
  return run(system().batch(index), mix64(scenario().seed + static_cast<std::uint64_t>(index)),
             backend, record_segments);
}

StepOutcome Simulation::run_batch(std::uint64_t routing_seed, const Backend& backend) {
  return run(system().first_batch(), routing_seed, backend, false);
}

StepOutcome Simulation::run(const StepBatch& batch, std::uint64_t routing_seed,
                            const Backend& backend, bool record_segments) {
  StepOutcome outcome = runner_.run(deployment_, batch, routing_seed, backend, record_segments);
  host_.routing_s += outcome.routing_s;
  host_.engine_s += outcome.engine_s;
  host_.events += outcome.result.events;
  host_.tasks += outcome.lowered.graph.tasks().size();
  return outcome;
}

MemoryUse Simulation::memory(const StepOutcome& last) const {
  return memory_use(deployment_, system().batch(scenario().run.steps - 1), last.micro_batches);
}

std::vector<CommProvenance> Simulation::communication() const {
  return comm_provenance(lowering_input(deployment_, {}));
}

std::vector<std::string> Simulation::routing_notes() const {
  if (routing() == nullptr) {
    return {};
  }
  if (scenario().run.routing == RoutingUse::expected) {
    return {
        "expected, not drawn: " + routing()->statistics(threads_)->describe() +
        "; batches that are drawn scatter around this step (sim/engine/README.md has the bias)"};
  }
  return routing_warnings(*routing(), system().first_batch());
}

}  // namespace moesim
