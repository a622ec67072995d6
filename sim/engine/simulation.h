// A scenario's run: its system, where its experts live, and its steps one after the other.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sim/engine/results/memory.h"
#include "sim/engine/step_runner.h"

namespace moesim {

// Wall-clock seconds of the stages; the only part of a run that may differ between two runs. Of
// routing and engine, as tasks and events, sums over all steps run so far.
struct HostTimes {
  double load_s = 0.0;       // catalogs, profiles, traces
  double placement_s = 0.0;  // placing experts
  double routing_s = 0.0;    // drawing or replaying tokens and counting them
  double engine_s = 0.0;     // lowering and event loop
  std::uint64_t events = 0;
  std::size_t tasks = 0;
};

// Movable; one per thread, on a library that all share.
class Simulation {
 public:
  // Throws ConfigError. Experts are placed as the scenario says.
  Simulation(Scenario scenario, const Library& library, int threads);

  [[nodiscard]] const System& system() const { return deployment_.system(); }
  [[nodiscard]] const Deployment& deployment() const { return deployment_; }
  [[nodiscard]] const Scenario& scenario() const { return system().scenario(); }
  [[nodiscard]] const Cluster& cluster() const { return system().cluster(); }
  [[nodiscard]] const Topology& topology() const { return system().topology(); }
  [[nodiscard]] const MoeModel& model() const { return system().model(); }
  [[nodiscard]] const KernelModel& kernels() const { return system().kernels(); }
  [[nodiscard]] const RoutingSource* routing() const { return system().routing(); }
  [[nodiscard]] const ExpertPlacement& placement() const { return deployment_.placement(); }
  [[nodiscard]] const HostTimes& host() const { return host_; }

  // Step `index` of the run: routing of its own, context one longer per step when decoding.
  StepOutcome run_step(int index, const Backend& backend, bool record_segments);
  // The first step's workload and the same placement on the batch that `routing_seed` draws.
  StepOutcome run_batch(std::uint64_t routing_seed, const Backend& backend);
  // Experts live elsewhere from the next step on. Throws InvariantError unless the placement has
  // the scenario's layers, experts and ranks.
  void use_placement(ExpertPlacement placement);

  // Of step `last`, the run's last one.
  [[nodiscard]] MemoryUse memory(const StepOutcome& last) const;
  [[nodiscard]] std::vector<CommProvenance> communication() const;
  [[nodiscard]] std::vector<std::string> routing_notes() const;

 private:
  StepOutcome run(const StepBatch& batch, std::uint64_t routing_seed, const Backend& backend,
                  bool record_segments);

  HostTimes host_;
  int threads_;
  Deployment deployment_;
  StepRunner runner_;
};

nlohmann::json host_report(const HostTimes& host, double wall_s);

}  // namespace moesim
