#include "sim/engine/step_runner.h"

#include <chrono>

#include "sim/engine/exchange/expected_traffic.h"
#include "sim/engine/exchange/resident_traffic.h"
#include "sim/engine/step_draw.h"

namespace moesim {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<MicroBatch> micro_batches_of(const Deployment& deployment, const StepBatch& batch,
                                         std::uint64_t seed, int threads,
                                         std::vector<DistinctShares>& shares) {
  const System& system = deployment.system();
  const int count = find_overlap(system.scenario().policy.overlap, "policy/overlap").micro_batches;
  std::vector<MicroBatch> micro;
  for (StepBatch& part : batch.split(count)) {
    micro.push_back({std::move(part), {}});
  }
  if (system.routing() == nullptr) {
    return micro;
  }
  if (system.scenario().run.routing == RoutingUse::expected) {
    const auto statistics = system.routing()->statistics(threads);
    for (MicroBatch& part : micro) {
      part.traffic =
          expected_traffic(*statistics, part.batch, system.ranks(), deployment.replicas(),
                           deployment.needs_distinct(), threads, shares);
    }
    return micro;
  }
  auto drawn = draw_batch(*system.routing(), batch, system.ranks(), count, seed, threads);
  const bool home = system.scenario().policy.residency == TokenResidency::home;
  for (std::size_t m = 0; m < micro.size(); ++m) {
    micro[m].traffic = home ? count_parts(drawn[m], system.ranks(), deployment.replicas(),
                                          deployment.needs_distinct(), threads)
                            : count_resident_parts(drawn[m], system.ranks(), deployment.replicas(),
                                                   deployment.needs_distinct(), threads);
  }
  return micro;
}

}  // namespace

LoweringInput lowering_input(const Deployment& deployment,
                             std::span<const MicroBatch> micro_batches) {
  const System& system = deployment.system();
  return {.topology = system.topology(),
          .model = system.model(),
          .kernels = system.kernels(),
          .comm_profiles = system.comm_profiles(),
          .comm_target = system.comm_target(),
          .ranks = system.ranks(),
          .policy = system.scenario().policy,
          .placement = deployment.placement(),
          .micro_batches = micro_batches};
}

// The deployment is a copy, which what is lowered refers to.
struct StepRunner::Kept {
  explicit Kept(const Deployment& of) : deployment(of), lowering(lowering_input(deployment, {})) {}

  Deployment deployment;
  StepLowering lowering;
  std::vector<DistinctShares> shares;  // by routing layer
};

StepRunner::StepRunner(int threads) : threads_(threads) {}
StepRunner::~StepRunner() = default;
StepRunner::StepRunner(StepRunner&&) noexcept = default;
StepRunner& StepRunner::operator=(StepRunner&&) noexcept = default;

StepRunner::Kept& StepRunner::kept_of(const Deployment& deployment) {
  if (!kept_ || !kept_->deployment.same_as(deployment)) {
    kept_ = std::make_unique<Kept>(deployment);
  }
  return *kept_;
}

StepOutcome StepRunner::run(const Deployment& deployment, const StepBatch& batch,
                            std::uint64_t routing_seed, const Backend& backend,
                            bool record_segments) {
  StepOutcome outcome;
  auto start = std::chrono::steady_clock::now();
  Kept& kept = kept_of(deployment);
  const double setup_s = seconds_since(start);
  start = std::chrono::steady_clock::now();
  outcome.micro_batches = micro_batches_of(deployment, batch, routing_seed, threads_, kept.shares);
  outcome.routing_s = seconds_since(start);
  start = std::chrono::steady_clock::now();
  outcome.lowered = kept.lowering.lower(outcome.micro_batches);
  outcome.result = backend.run(outcome.lowered.graph, record_segments);
  outcome.engine_s = setup_s + seconds_since(start);
  return outcome;
}

}  // namespace moesim
