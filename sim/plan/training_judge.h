// Asks the simulator of training iterations.
#pragma once

#include <memory>
#include <string>

#include "sim/engine/library.h"
#include "sim/engine/scenario_file.h"
#include "sim/plan/layout_judge.h"
#include "sim/plan/search_space.h"
#include "sim/training/training_run.h"

namespace moesim {

class TrainingJudge final : public LayoutJudge {
 public:
  // `document`: a training scenario, whose layout is replaced; it must outlive this, as the library
  // must. Throws ConfigError for what is wrong whatever the layout.
  TrainingJudge(const ScenarioDocument& document, std::string name, const Library& library);

  [[nodiscard]] Bytes peak_memory(const TrainLayout& layout) const override;
  [[nodiscard]] LayoutProbe probe(const TrainLayout& layout) const override;
  [[nodiscard]] LayoutFigures simulate(const TrainLayout& layout) const override;

  [[nodiscard]] PlanProblem problem() const;
  [[nodiscard]] const Cluster& cluster() const { return cluster_->cluster; }
  [[nodiscard]] const MoeModel& model() const { return model_->model; }
  [[nodiscard]] Bytes usable_memory() const;
  // At the peak of the fastest format of the products with weights.
  [[nodiscard]] double peak_flops_per_s() const;
  [[nodiscard]] double capacity_factor() const;  // 1 if nothing is dropped

  // The document's own layout, as it is; throws ConfigError where it is not legal.
  [[nodiscard]] TrainLayout own_layout() const;
  // The scenario of a layout with every default and reference filled in.
  [[nodiscard]] nlohmann::json effective(const TrainLayout& layout) const;

 private:
  [[nodiscard]] TrainScenario scenario_of(const TrainLayout& layout) const;
  [[nodiscard]] TrainingRun run(TrainScenario scenario) const;

  const ScenarioDocument& document_;
  std::string name_;
  const Library& library_;
  TrainScenario base_;             // with a layout of one rank
  bool sequence_parallel_ = true;  // where tp > 1
  std::shared_ptr<const LoadedCluster> cluster_;
  std::shared_ptr<const LoadedModel> model_;
  std::unique_ptr<Backend> backend_;
};

}  // namespace moesim
