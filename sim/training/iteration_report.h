// What a training iteration says, as typed values; training_json.cpp writes them down.
#pragma once

#include <array>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "sim/engine/results/device_time.h"
#include "sim/engine/results/step_report.h"
#include "sim/training/training_run.h"

namespace moesim {

// Of one device of a stage.
struct StageReport {
  int stage = 0;
  int layers = 0;
  StageMemory memory;
  Bytes activations;  // at the stage's peak
  Bytes transient;    // of the pass that reaches it
  Bytes peak;
  double peak_at_s = 0.0;
  std::int32_t peak_micro_batch = -1;  // whose pass reaches it
  Bytes shortfall;
  double busy_s = 0.0;
  double idle_s = 0.0;
};

struct TrainingReport {
  double step_s = 0.0;
  double tokens = 0.0;  // of an iteration
  int devices = 0;
  double simulated_devices = 0.0;
  double model_flops = 0.0;
  double hardware_flops = 0.0;
  double peak_flops_per_s = 0.0;  // of a device, in the products' format
  DType peak_format = DType::bf16;
  double bf16_flops_per_s = 0.0;
  MeanDevice mean;
  double bubble_fraction = 0.0;
  double max_over_mean = 1.0;
  double dropped_share = 0.0;
  double energy_j = 0.0;
  double cost_usd = 0.0;
  Bytes usable;
  Bytes capacity;
  std::vector<StageReport> stages;
  std::array<double, k_categories> critical{};  // seconds on the critical path
  Uncertainty uncertainty;
  std::vector<LawReport> kernels;
  std::vector<LawReport> communication;
  std::string routing;
  std::vector<std::string> warnings;
  std::vector<std::string> megatron_arguments;  // of the layout

  [[nodiscard]] Bytes peak_memory() const;
  [[nodiscard]] Bytes shortfall() const;
  [[nodiscard]] bool fits() const { return shortfall().si() <= 0.0; }
  [[nodiscard]] double exposed_communication_s() const;
  [[nodiscard]] double tokens_per_s_per_device() const { return tokens / step_s / devices; }
  [[nodiscard]] double model_flops_per_s_per_device() const {
    return model_flops / step_s / devices;
  }
  [[nodiscard]] double mfu() const { return model_flops_per_s_per_device() / peak_flops_per_s; }
};

TrainingReport training_report(const TrainingRun& run);

// The report document without `host`.
nlohmann::json to_json(const TrainingReport& report, const nlohmann::json& effective);

}  // namespace moesim
