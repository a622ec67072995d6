// What a scenario describes and nothing changes: cluster, model, laws, ranks. Immutable, so that
// any number of deployments, steps and threads share it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "hardware/topology.h"
#include "models/kernels/kernel_model.h"
#include "sim/engine/library.h"
#include "sim/engine/lowering/lowering.h"
#include "sim/engine/placement_problem.h"
#include "sim/engine/scenario.h"

namespace moesim {

class System {
 public:
  // Looks names up and checks everything that spans several sections. Throws ConfigError.
  System(Scenario scenario, const Library& library);

  // With every default and reference filled in, so that a run can be repeated from it.
  [[nodiscard]] const Scenario& scenario() const { return scenario_; }
  [[nodiscard]] const Cluster& cluster() const { return cluster_->cluster; }
  [[nodiscard]] const Topology& topology() const { return *topology_; }
  [[nodiscard]] const MoeModel& model() const { return model_->model; }
  [[nodiscard]] const RoutingShape& routing_shape() const { return routing_shape_; }
  [[nodiscard]] bool has_experts() const { return routing_shape_.top_k > 0; }
  [[nodiscard]] const KernelModel& kernels() const { return *kernels_; }
  [[nodiscard]] const std::vector<CommProfile>& comm_profiles() const { return *comm_profiles_; }
  [[nodiscard]] CommTarget comm_target() const;
  // Null for models without routed experts.
  [[nodiscard]] const RoutingSource* routing() const { return routing_.get(); }
  [[nodiscard]] const RankMap& ranks() const { return ranks_; }

  // The batch of the run's step `index`, and that of step 0.
  [[nodiscard]] StepBatch batch(int index) const;
  [[nodiscard]] const StepBatch& first_batch() const { return first_batch_; }

  // What to say before a run that draws tokens for a while; empty where it does not.
  [[nodiscard]] std::string drawing_note() const;

  // For placing the experts of a model that has some: the problem's shape, what the costs are, how
  // many tokens and (token, expert) pairs an expert group handles per layer, and tokens to count.
  [[nodiscard]] PlacementShape placement_shape() const;
  [[nodiscard]] PlacementCosts placement_costs() const;
  [[nodiscard]] double tokens_per_group() const;
  [[nodiscard]] double pairs_per_step() const;
  [[nodiscard]] std::vector<RoutedTokens> placement_statistics(int threads) const;
  // By the scenario's solver, on statistics of its routing source, or as its file has it. Empty
  // without experts.
  [[nodiscard]] ExpertPlacement place_experts(int threads) const;
  // The model's layers that have routed experts, ascending.
  [[nodiscard]] std::vector<int> moe_layers() const;

 private:
  [[nodiscard]] double routed_tokens() const;  // of the first step, one by one
  [[nodiscard]] ExpertPlacement placement_of_file() const;
  [[nodiscard]] ExpertPlacement solve_placement(const PlacementProblem& problem, int threads) const;
  void check_ranks() const;
  void check_batches() const;
  void check_expert_groups() const;
  void check_collectives() const;
  void check_all_to_all() const;
  void check_formats() const;
  void check_residency() const;
  void check_overlap() const;
  void check_link_rate() const;
  void check_routing_size() const;

  Scenario scenario_;
  std::shared_ptr<const LoadedCluster> cluster_;
  std::shared_ptr<const Topology> topology_;
  std::shared_ptr<const LoadedModel> model_;
  RoutingShape routing_shape_;
  std::shared_ptr<const KernelModel> kernels_;
  std::shared_ptr<const std::vector<CommProfile>> comm_profiles_;
  std::shared_ptr<const RoutingSource> routing_;
  std::shared_ptr<const PlacementCache> placements_;
  RankMap ranks_;
  StepBatch first_batch_;
};

}  // namespace moesim
