// A scenario whose workload is a training iteration, as the user writes it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "sim/engine/scenario_file.h"
#include "sim/training/frameworks.h"
#include "sim/training/train_workload.h"

namespace moesim {

struct TrainPolicy {
  std::string pipeline = "1f1b";  // a pipeline schedule's name
  std::vector<int> layers;        // of every part of the model; empty: split evenly
  // Exchanges of one micro-batch's forward pass beside kernels of another's backward pass.
  bool pairs_passes = false;
  TrainingFramework framework;  // whose costs come beside the kernels; "none" by default
};

struct TrainScenario {
  // hardware, model, parallelism, policy (kernels and exchanges), seed and what reports echo. Its
  // workload is not used.
  Scenario base;
  TrainWorkload workload;
  TrainPolicy policy;
  std::string routing = "balanced";
  bool fold = true;  // simulate ranks that are alike once
};

// Is `workload.kind` "train"?
bool is_training(const nlohmann::json& document);

// Throws ConfigError("name#/pointer", ...).
TrainScenario parse_train_scenario(const nlohmann::json& document, const std::string& name);
// The same with the document's warnings.
TrainScenario parse_train_scenario(const ScenarioDocument& document, const std::string& name);

// What `recompute: {"kind": "selective", "modules": [...]}` may name: Megatron-LM's names
// (--recompute-modules).
std::span<const std::string_view> recompute_modules();

}  // namespace moesim
