// What a run of steps says, as typed values; report_json.cpp writes them down.
#pragma once

#include <array>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sim/engine/lowering/interference.h"
#include "sim/engine/results/metrics.h"
#include "sim/engine/results/uncertainty.h"

namespace moesim {

// One layer on the critical path of the last step.
struct LayerReport {
  int layer = 0;
  bool is_moe = false;
  double start_s = 0.0;
  double end_s = 0.0;
  double dispatch_s = 0.0;
  double experts_s = 0.0;
  double combine_s = 0.0;
  std::optional<LayerLoad> load;  // of its last routing decision
};

// Which law answered for a family of kernels or of exchanges.
struct LawReport {
  std::string family;
  std::string profile;
  std::string basis;
  std::string source;
  std::string date;
  std::string library;  // of a collective
  // Of kernels: the benchmark's name, the profile's family, how experts' rows lie (empty for other
  // operations) and how the law's rows did, and whether a version that is named answers.
  std::string kernel_source;
  std::string law;
  std::string layout;
  std::string law_layout;
  bool wish_granted = true;
  std::string better_known;  // see KernelProvenance
  // Of the fit; absent for spec sheets.
  std::optional<double> median_error;
  std::optional<double> p90_error;
  double transfer_sigma = 0.0;  // see KernelProvenance
  double host_floor_s = 0.0;    // see KernelProvenance
  // What the last step asked of it; absent if nothing.
  std::optional<FamilyUse> use;
};

// Step times, rates and costs are means over the run's steps; all else is of the last one.
struct StepReport {
  std::vector<double> steps_s;
  StepMetrics metrics;
  int devices = 0;
  int nodes = 0;
  std::int64_t output_tokens = 0;  // of a step, see RankBatch::output_tokens
  std::int64_t decode_sequences = 0;
  std::int64_t decode_tokens = 0;   // of these; the other output tokens are prompts' first ones
  std::int64_t prefill_tokens = 0;  // of a step
  std::int64_t padded_tokens = 0;   // that captured batches were filled up with
  double padding_s = 0.0;           // mean device's time for them, before any overlap
  MemoryUse memory;
  Uncertainty uncertainty;
  double makespan_s = 0.0;                       // of the last step
  std::array<double, k_categories> breakdown{};  // of its critical path
  std::vector<LayerReport> layers;
  std::vector<LinkUse> links;
  std::vector<LawReport> kernels;
  std::vector<LawReport> communication;
  // What communication takes from kernels beside it; empty without concurrent streams.
  std::vector<HeldShare> interference;
  int degree = 0;                  // of the chunks, where the schedule has some
  std::vector<TriedDegree> tried;  // and of all that were tried
  std::string batch_padding;  // whose captured sizes a captured batch was filled up to, with source
  std::string routing;        // how tokens were had; empty without experts
  std::vector<std::string> warnings;

  [[nodiscard]] double output_tokens_per_s() const {
    return metrics.step_s > 0 ? static_cast<double>(output_tokens) * (1.0 / metrics.step_s) : 0.0;
  }
  [[nodiscard]] double input_tokens_per_s() const {
    return metrics.step_s > 0 ? static_cast<double>(prefill_tokens) * (1.0 / metrics.step_s) : 0.0;
  }
};

// `steps`: the run's step times, at least one; `last`: the step that details describe.
StepReport step_report(const Simulation& simulation, const std::vector<double>& steps,
                       const StepOutcome& last);

// Per communication of the mean device: `exposed_s`, which no kernel covers, `hidden_s`, and
// `under` which kernels it is hidden. Adds up to MeanDevice::hidden_communication_s.
nlohmann::json hidden_json(const MeanDevice& mean);

// The report document without `host`; `effective`: the scenario with every default filled in.
nlohmann::json to_json(const StepReport& report, const nlohmann::json& effective);

}  // namespace moesim
