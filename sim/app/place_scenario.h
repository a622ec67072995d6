// The placement problem of a scenario, and what its placements are worth in it.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sim/app/place.h"

namespace moesim {

struct PlaceScenarioOptions {
  std::string name = {};  // of the document, for messages
  CatalogFolders folders = {};
  int threads = 1;
  std::optional<CommModel> comm_model = {};  // default: what the scenario's all-to-all moves
  std::int64_t tokens = 16'384;              // statistics
  double fit_share = 0.5;                    // of a trace's requests; the others are unseen
  std::optional<int> redundant = {};         // instead of the scenario's
  ReplicaSplit split = ReplicaSplit::even;
};

// A scenario twice: on the part of its routing that statistics may see, and on the rest. A
// generator has no rest: other seeds are unseen.
class PlaceScenario {
 public:
  // `document`: its paths lead from the working directory. Throws ConfigError.
  PlaceScenario(const nlohmann::json& document, const PlaceScenarioOptions& options);

  [[nodiscard]] const PlacementProblem& problem() const { return problem_; }
  [[nodiscard]] const Cluster& cluster() const { return fitted_->cluster(); }
  // Does a step take one token further?
  [[nodiscard]] bool decode() const;
  // The model's layers that the placement's layers are.
  [[nodiscard]] std::vector<int> moe_layers() const;

  // Objectives of contiguous, EPLB and the found placement on both parts, and how much of the gain
  // over contiguous survives.
  [[nodiscard]] std::vector<GeneralisationRow> generalisation(const ExpertPlacement& found) const;
  // The same placements in simulated steps.
  std::vector<VerdictRow> verdict(const ExpertPlacement& found, int batches,
                                  const Progress& progress);
  // Of how the files that the scenario names were read.
  [[nodiscard]] const std::vector<std::string>& warnings() const {
    return fitted_->scenario().warnings;
  }
  // Where costs and statistics come from.
  [[nodiscard]] PlaceProvenance provenance() const;

 private:
  [[nodiscard]] PlacementProblem unseen_problem() const;
  [[nodiscard]] std::vector<NamedPlacement> candidates(const ExpertPlacement& found) const;

  std::unique_ptr<Simulation> fitted_;
  std::unique_ptr<Simulation> unseen_;  // null: fitted_ with other seeds
  CommModel comm_ = CommModel::none;
  PlacementProblem problem_;
};

}  // namespace moesim
