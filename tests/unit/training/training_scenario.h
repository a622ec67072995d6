// Training scenarios small enough for unit tests, on the shipped catalogs.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "sim/training/iteration_report.h"

namespace moesim::testing {

inline const Library& training_library() {
  const std::string root = MOESIM_SOURCE_DIR;
  static const Library library({.hardware = {root + "/hardware/catalog"},
                                .models = {root + "/models/catalog"},
                                .kernel_profiles = {root + "/models/profiles"},
                                .comm_profiles = {root + "/models/comm/profiles"},
                                .routing_profiles = {root + "/workloads/profiles"}});
  return library;
}

// Mixtral 8x7B on 64 H100: dp 16, pp 4, ep 8; eight micro-batches.
inline nlohmann::json training_scenario() {
  return {
      {"hardware", {{"cluster", "h100-8x-ib400"}, {"nodes", 8}}},
      {"model", "mixtral-8x7b"},
      {"workload",
       {{"kind", "train"}, {"global_batch", 128}, {"micro_batch", 1}, {"sequence", 2048}}},
      {"parallelism",
       {{"attention", {{"tp", 1}, {"dp", 16}, {"pp", 4}}}, {"experts", {{"ep", 8}, {"edp", 2}}}}},
      {"run", {{"fold", "auto"}}}};
}

// The same model on one device.
inline nlohmann::json one_device() {
  nlohmann::json scenario = training_scenario();
  scenario["hardware"] = {{"cluster", "h100-8x-ib400"}, {"devices", 1}};
  scenario["workload"]["global_batch"] = 2;
  scenario["parallelism"] = nlohmann::json::object();
  scenario["parallelism"]["attention"] = nlohmann::json::object();
  return scenario;
}

inline TrainingRun run_of(const nlohmann::json& scenario) {
  return run_training(parse_train_scenario(scenario, "test.json"), training_library(),
                      *make_fast_backend(), 1);
}

inline double seconds_of(const nlohmann::json& scenario) {
  return run_of(scenario).result.makespan_s;
}

}  // namespace moesim::testing
