// Composition root: a scenario's names become objects, its steps are lowered and run, and the
// results become a report.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "hardware/topology.h"
#include "models/kernel_model.h"
#include "sim/engine/backend.h"
#include "sim/engine/library.h"
#include "sim/engine/lowering.h"
#include "sim/engine/memory.h"
#include "sim/engine/placement_problem.h"
#include "sim/engine/scenario.h"

namespace moesim {

// Wall-clock seconds of the stages; the only part of a run that may differ between two runs.
struct HostTimes {
  double load_s = 0.0;       // catalogs, profiles, traces
  double placement_s = 0.0;  // drawing its statistics and placing the experts
  double routing_s = 0.0;    // drawing or replaying tokens and counting them
  double engine_s = 0.0;     // lowering and event loop, of the last step
  std::uint64_t events = 0;
  std::size_t tasks = 0;
};

// One step, lowered and run. The lowered graph is kept for timelines and crosschecks.
struct StepOutcome {
  LoweredStep lowered;
  RunResult result;
};

// Objects of one scenario. Movable; const after construction and thread-compatible.
class Simulation {
 public:
  // Looks names up and checks everything that spans several sections. Throws ConfigError.
  Simulation(Scenario scenario, const Library& library, int threads);

  [[nodiscard]] const Scenario& scenario() const { return scenario_; }
  [[nodiscard]] const Cluster& cluster() const { return cluster_; }
  [[nodiscard]] const Topology& topology() const { return *topology_; }
  [[nodiscard]] const MoeModel& model() const { return model_; }
  [[nodiscard]] const KernelModel& kernels() const { return *kernels_; }
  [[nodiscard]] const RoutingSource* routing() const { return routing_.get(); }
  [[nodiscard]] const ExpertPlacement& placement() const { return placement_; }
  [[nodiscard]] const ExpertGroups& groups() const { return groups_; }
  [[nodiscard]] const HostTimes& host() const { return host_; }

  // For placing the experts of a model that has some: the problem's shape, what the costs are, how
  // many (token, expert) pairs an expert group handles per layer, and tokens to count.
  [[nodiscard]] PlacementShape placement_shape() const;
  [[nodiscard]] PlacementCosts placement_costs() const;
  [[nodiscard]] double pairs_per_step() const;
  [[nodiscard]] std::vector<RoutedTokens> placement_statistics() const;

  // Step `index` of the run: routing of its own, context one longer per step when decoding.
  StepOutcome run_step(int index, const Backend& backend, bool record_segments);
  // The same workload and placement on the batch that `routing_seed` draws.
  StepOutcome run_batch(std::uint64_t routing_seed, const Backend& backend);
  // Experts live elsewhere from the next step on. Throws InvariantError unless the placement has
  // the scenario's layers, experts and ranks.
  void use_placement(ExpertPlacement placement);
  // Of the step that ran last.
  [[nodiscard]] MemoryUse memory() const;
  [[nodiscard]] std::vector<CommProvenance> communication() const;
  [[nodiscard]] std::vector<std::string> routing_notes() const;

 private:
  void check_ranks() const;
  void check_expert_groups() const;
  void check_collectives() const;
  void check_formats() const;
  void check_residency() const;
  void check_link_rate() const;
  void check_routing_size() const;
  void prepare_experts(const Library& library);
  StepOutcome run(const Workload& workload, std::uint64_t routing_seed, const Backend& backend,
                  bool record_segments);
  [[nodiscard]] ExpertPlacement place_experts() const;
  [[nodiscard]] LoweringInput lowering_input(const Workload& workload) const;
  [[nodiscard]] CommTarget comm_target() const;
  [[nodiscard]] Workload workload_of_step(int index) const;

  Scenario scenario_;
  int threads_;
  Cluster cluster_;
  std::unique_ptr<Topology> topology_;
  MoeModel model_;
  RoutingShape routing_shape_;
  std::shared_ptr<const KernelModel> kernels_;
  std::shared_ptr<const std::vector<CommProfile>> comm_profiles_;
  std::shared_ptr<const RoutingSource> routing_;
  ExpertGroups groups_;
  ExpertPlacement placement_;
  std::vector<int> node_of_unit_;
  bool needs_distinct_ = false;
  StepTraffic traffic_;
  HostTimes host_;
};

// The report without `host`. `steps` holds the step times, `last` the step that details describe.
nlohmann::json make_report(const Simulation& simulation, const std::vector<double>& steps,
                           const StepOutcome& last);
nlohmann::json host_report(const HostTimes& host, double wall_s);

}  // namespace moesim
