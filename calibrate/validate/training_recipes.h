// What a published training figure leaves to the recipe of its release.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace moesim {

// What of an iteration is launched as CUDA graphs.
enum class Launches : std::uint8_t { nothing, router, attention, all };
// The row of sim/training/frameworks.h.
std::string_view framework_name(Launches captured);

struct TrainingRecipe {
  std::string_view model;       // catalog name
  std::string_view system;      // catalog name of the device
  std::string_view release;     // the first that has it: year and month of the container
  std::string_view recompute;   // modules, space between; empty: none
  std::string_view dispatcher;  // "alltoall", "deepep", "hybridep"
  Launches captured = Launches::nothing;
  bool overlap = false;  // exchanges of one micro-batch beside another's kernels
};

// NVIDIA-NeMo/Megatron-Bridge v0.2.0 (2025-11, containers 25.09 and 25.11), v0.3.0 (26.02), v0.4.0
// (26.04), v0.5.0 (26.06), scripts/performance/configs/*/*workload_base_configs.py: of each device,
// model and precision the configuration whose layout is that of the published rows (
// moe_flex_dispatcher_backend, cuda_graph_impl and _scope, recompute_modules, moe_a2a_overlap;
// no backend is alltoall); v0.6.0 (26.08), src/megatron/bridge/perf_recipes, DeepSeek-V4 alone.
// Read 2026-11. By model and system in the order of releases; a release not listed has the recipe
// of the one before.
std::span<const TrainingRecipe> training_recipes();
// The newest that is not newer than `release`, else the oldest. nullptr: none is known.
const TrainingRecipe* find_training_recipe(std::string_view model, std::string_view system,
                                           std::string_view release);

}  // namespace moesim
