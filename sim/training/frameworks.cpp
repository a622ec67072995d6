#include "sim/training/frameworks.h"

#include <algorithm>
#include <array>

#include "sim/core/error.h"

namespace moesim {

namespace {

constexpr Seconds k_host(315e-6);
constexpr double k_slowdown = 1.24;
constexpr std::string_view k_source =
    "Megatron-LM, Megatron-Bridge and their forks: two coefficients, fitted 2026-11 to the step "
    "times of 175 published runs (least sum of |ln(predicted/measured)|, `fits` of `moesim "
    "validate training --json`, where every system's fit without it stands beside)";

constexpr TrainingFramework megatron(std::string_view name, Captured captured) {
  return {.name = name,
          .captured = captured,
          .host_per_kernel = k_host,
          .slowdown = k_slowdown,
          .quantises = true,
          .source = k_source};
}

}  // namespace

std::span<const TrainingFramework> training_frameworks() {
  static constexpr std::array rows{
      TrainingFramework{.name = "none",
                        .host_per_kernel = Seconds(0),
                        .source = "kernels by their laws, launches that cost nothing"},
      megatron("megatron", Captured::nothing), megatron("megatron_router_graphs", Captured::router),
      megatron("megatron_graphs", Captured::attention),
      megatron("megatron_full_graphs", Captured::all)};
  return rows;
}

const TrainingFramework& find_training_framework(std::string_view name, const std::string& where) {
  std::string names;
  for (const TrainingFramework& row : training_frameworks()) {
    if (row.name == name) {
      return row;
    }
    names.append(names.empty() ? "" : ", ").append(row.name);
  }
  throw ConfigError(where, "unknown training framework; there are: " + names);
}

}  // namespace moesim
