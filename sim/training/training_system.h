// What a training scenario describes and nothing changes: cluster, model, laws, ranks, pipeline.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "hardware/topology.h"
#include "models/kernels/kernel_model.h"
#include "sim/engine/library.h"
#include "sim/engine/rank_map.h"
#include "sim/training/pipeline.h"
#include "sim/training/stage_memory.h"
#include "sim/training/train_scenario.h"

namespace moesim {

class TrainingSystem {
 public:
  // Looks names up and checks everything that spans several sections. Throws ConfigError.
  TrainingSystem(TrainScenario scenario, const Library& library);

  // With every default and reference filled in, so that a run can be repeated from it.
  [[nodiscard]] const TrainScenario& scenario() const { return scenario_; }
  [[nodiscard]] const TrainWorkload& workload() const { return scenario_.workload; }
  [[nodiscard]] const Policy& policy() const { return scenario_.base.policy; }
  [[nodiscard]] const OpPrecision& precision() const { return policy().precision; }
  [[nodiscard]] const Parallelism& parallelism() const { return scenario_.base.parallelism; }
  [[nodiscard]] const Cluster& cluster() const { return cluster_->cluster; }
  [[nodiscard]] const Topology& topology() const { return *topology_; }
  [[nodiscard]] const MoeModel& model() const { return model_->model; }
  [[nodiscard]] const KernelModel& kernels() const { return *kernels_; }
  [[nodiscard]] const std::vector<CommProfile>& comm_profiles() const { return *comm_profiles_; }
  [[nodiscard]] CommTarget comm_target() const;
  // Null for models without routed experts, and for forced balance.
  [[nodiscard]] const RoutingSource* routing() const { return routing_.get(); }
  [[nodiscard]] const RankMap& ranks() const { return ranks_; }
  [[nodiscard]] const PipelineSchedule& schedule() const { return schedule_; }
  [[nodiscard]] const std::vector<ModelPart>& parts() const { return parts_; }

  // Ranks that are alike are simulated once.
  [[nodiscard]] bool folds() const { return scenario_.fold && routing_ == nullptr; }
  [[nodiscard]] int micro_batches() const;
  // Tokens of one micro-batch on a rank that holds whole rows: not cut over tensor parallelism.
  [[nodiscard]] std::int64_t tokens() const;

 private:
  void check_ranks() const;
  void check_batches() const;
  void check_model() const;
  void check_experts() const;
  void check_formats() const;
  void find_routing(const Library& library);
  void cut_model();

  TrainScenario scenario_;
  std::shared_ptr<const LoadedCluster> cluster_;
  std::shared_ptr<const Topology> topology_;
  std::shared_ptr<const LoadedModel> model_;
  std::shared_ptr<const KernelModel> kernels_;
  std::shared_ptr<const std::vector<CommProfile>> comm_profiles_;
  std::shared_ptr<const RoutingSource> routing_;
  RankMap ranks_;
  PipelineSchedule schedule_;
  std::vector<ModelPart> parts_;
};

}  // namespace moesim
