// Runs steps of a deployment: tokens become traffic, traffic and batch a task graph, the graph
// times.
#pragma once

#include <cstdint>
#include <memory>

#include "sim/engine/deployment.h"
#include "sim/flow/backend.h"

namespace moesim {

// A number of chunks, and how long the step takes with it.
struct TriedDegree {
  int degree = 1;
  double step_s = 0.0;
};

// One step, lowered and run. The lowered graph is kept for timelines and crosschecks.
struct StepOutcome {
  LoweredStep lowered;
  RunResult result;
  std::vector<MicroBatch> micro_batches;  // what was lowered
  int degree = 0;                         // of the chunks, where the schedule has some
  std::vector<TriedDegree> tried = {};    // the same, of all that were tried
  double routing_s = 0.0;  // wall clock: drawing or replaying tokens and counting them
  double engine_s = 0.0;   // wall clock: lowering and event loop
};

// Keeps what the steps of one deployment have in common, and keeps that deployment alive until it
// runs a step of another: the answer is a function of the arguments alone (but for the wall-clock
// times). One per thread.
class StepRunner {
 public:
  // Threads that draw and count tokens.
  explicit StepRunner(int threads);
  ~StepRunner();
  StepRunner(StepRunner&&) noexcept;
  StepRunner& operator=(StepRunner&&) noexcept;

  // `record_segments`: see Backend::run.
  StepOutcome run(const Deployment& deployment, const StepBatch& batch, std::uint64_t routing_seed,
                  const Backend& backend, bool record_segments);

 private:
  struct Kept;
  Kept& kept_of(const Deployment& deployment);

  int threads_;
  std::unique_ptr<Kept> kept_;
};

// What lowering needs of a deployment.
LoweringInput lowering_input(const Deployment& deployment,
                             std::span<const MicroBatch> micro_batches);

}  // namespace moesim
