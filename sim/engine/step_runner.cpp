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

// How a schedule cuts the batch: into micro-batches that go through all layers on their own, or, of
// one batch, the tokens into chunks that only routed experts and their exchanges see.
BatchParts parts_of_batch(const OverlapEntry& overlap, const OverlapOptions& options) {
  if (overlap.parts == PartRule::chunks) {
    return {.count = parts_of(overlap, options), .cut = BatchCut::tokens};
  }
  return {.count = overlap.micro_batches, .cut = BatchCut::balanced};
}

std::vector<StepTraffic> traffic_of_parts(const Deployment& deployment, const StepBatch& batch,
                                          BatchParts parts, std::uint64_t seed, int threads,
                                          std::vector<DistinctShares>& shares) {
  const System& system = deployment.system();
  std::vector<StepTraffic> traffic;
  if (system.scenario().run.routing == RoutingUse::expected) {
    const auto statistics = system.routing()->statistics(threads);
    for (const StepBatch& part : batch.split(parts.count, parts.cut)) {
      traffic.push_back(expected_traffic(*statistics, part, system.ranks(), deployment.replicas(),
                                         deployment.needs_distinct(), threads, shares));
    }
    return traffic;
  }
  const auto drawn = draw_batch(*system.routing(), batch, system.ranks(), parts, seed, threads);
  const bool home = system.scenario().policy.residency == TokenResidency::home;
  const auto count = home ? count_parts : count_resident_parts;
  for (const std::vector<RoutedPart>& part : drawn) {
    traffic.push_back(
        count(part, system.ranks(), deployment.replicas(), deployment.needs_distinct(), threads));
  }
  return traffic;
}

std::vector<MicroBatch> micro_batches_of(const Deployment& deployment, const StepBatch& batch,
                                         const OverlapEntry& overlap, const OverlapOptions& options,
                                         std::uint64_t seed, int threads,
                                         std::vector<DistinctShares>& shares) {
  const BatchParts parts = parts_of_batch(overlap, options);
  const bool chunks = overlap.parts == PartRule::chunks;
  std::vector<MicroBatch> micro;
  for (StepBatch& part : batch.split(chunks ? 1 : parts.count, parts.cut)) {
    micro.push_back({.batch = std::move(part), .traffic = {}});
  }
  if (deployment.system().routing() == nullptr) {
    micro.front().more.resize(chunks ? static_cast<std::size_t>(parts.count) - 1 : 0);
    return micro;
  }
  auto traffic = traffic_of_parts(deployment, batch, parts, seed, threads, shares);
  for (std::size_t part = 0; part < traffic.size(); ++part) {
    if (chunks && part > 0) {
      micro.front().more.push_back(std::move(traffic[part]));
    } else {
      micro[part].traffic = std::move(traffic[part]);
    }
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
          .micro_batches = micro_batches,
          .multiprocessors = system.cluster().node.device.multiprocessors};
}

// The deployment is a copy, which what is lowered refers to.
struct StepRunner::Kept {
  explicit Kept(const Deployment& of) : deployment(of), policy(of.system().scenario().policy) {
    const OverlapOptions& given = policy.overlap_options;
    for (const int degree : degrees_of(overlap(), given)) {
      options.push_back(given);
      options.back().degree = has_degree(overlap()) ? degree : given.degree;
      lowerings.emplace_back(lowering_input(deployment, {}), options.back());
    }
  }

  [[nodiscard]] const OverlapEntry& overlap() const {
    return find_overlap(policy.overlap, "policy/overlap");
  }

  Deployment deployment;
  const Policy& policy;  // of the deployment's system
  // By degree that is tried; one where nothing is to be chosen.
  std::vector<OverlapOptions> options;
  std::vector<StepLowering> lowerings;
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
  auto start = std::chrono::steady_clock::now();
  Kept& kept = kept_of(deployment);
  StepOutcome best;
  double engine_s = seconds_since(start);
  double routing_s = 0.0;
  std::vector<TriedDegree> tried;
  for (std::size_t i = 0; i < kept.lowerings.size(); ++i) {
    StepOutcome outcome;
    start = std::chrono::steady_clock::now();
    outcome.micro_batches = micro_batches_of(deployment, batch, kept.overlap(), kept.options[i],
                                             routing_seed, threads_, kept.shares);
    routing_s += seconds_since(start);
    start = std::chrono::steady_clock::now();
    outcome.lowered = kept.lowerings[i].lower(outcome.micro_batches);
    outcome.result = backend.run(outcome.lowered.graph, record_segments);
    engine_s += seconds_since(start);
    tried.push_back({kept.options[i].degree, outcome.result.makespan_s});
    if (i == 0 || outcome.result.makespan_s < best.result.makespan_s) {
      best = std::move(outcome);
      best.degree = kept.options[i].degree;
    }
  }
  best.engine_s = engine_s;
  best.routing_s = routing_s;
  best.tried = has_degree(kept.overlap()) ? std::move(tried) : std::vector<TriedDegree>{};
  return best;
}

}  // namespace moesim
