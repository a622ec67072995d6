// Scenarios small enough for unit tests, on the shipped catalogs.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "sim/engine/simulation.h"

namespace moesim::testing {

inline CatalogFolders shipped_catalogs() {
  const std::string root = MOESIM_SOURCE_DIR;
  return {.hardware = {root + "/hardware/catalog"},
          .models = {root + "/models/catalog"},
          .kernel_profiles = {root + "/models/profiles"},
          .comm_profiles = {root + "/models/comm/profiles"},
          .routing_profiles = {root + "/workloads/profiles"}};
}

// DeepSeek-V2-Lite, decode, `ranks` H100 in nodes of 8 (or one smaller node).
inline nlohmann::json small_scenario(int ranks = 8, int requests = 16) {
  nlohmann::json hardware{{"cluster", "h100-8x-ib400"}};
  if (ranks < 8) {
    hardware["devices"] = ranks;
  } else {
    hardware["nodes"] = ranks / 8;
  }
  return {{"hardware", hardware},
          {"model", "deepseek-v2-lite"},
          {"workload",
           {{"kind", "decode"},
            {"requests_per_rank", requests},
            {"context", 512},
            {"routing", "power_law:0.6"}}},
          {"parallelism", {{"attention", {{"dp", ranks}}}, {"experts", {{"ep", ranks}}}}},
          {"policy", {{"kernels", "trtllm"}}}};
}

inline const Library& shipped_library() {
  static const Library library(shipped_catalogs());
  return library;
}

inline Simulation simulation_of(const nlohmann::json& scenario) {
  return {parse_scenario(scenario, "test.json"), shipped_library(), 1};
}

struct Ran {
  Simulation simulation;
  StepOutcome step;

  explicit Ran(const nlohmann::json& scenario) : simulation(simulation_of(scenario)) {
    step = simulation.run_step(0, *make_fast_backend(), true);
  }
  [[nodiscard]] double step_s() const { return step.result.makespan_s; }
  [[nodiscard]] MemoryUse memory() const { return simulation.memory(step); }
};

}  // namespace moesim::testing
