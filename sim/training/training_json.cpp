// The report document of an iteration: keys and units of the contract.
#include <nlohmann/json.hpp>

#include "sim/training/iteration_report.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

std::string key_of(std::size_t category) {
  return std::string(name_of(static_cast<Category>(category))) + "_s";
}

Json by_category(const std::array<double, k_categories>& seconds, bool communication) {
  Json object = Json::object();
  for (std::size_t c = 0; c < k_categories; ++c) {
    if (!communication || is_communication(static_cast<Category>(c))) {
      object[key_of(c)] = seconds[c];
    }
  }
  return object;
}

Json stages_json(const std::vector<StageReport>& stages) {
  Json rows = Json::array();
  for (const StageReport& stage : stages) {
    rows.push_back({{"stage", stage.stage},
                    {"layers", stage.layers},
                    {"busy_s", stage.busy_s},
                    {"idle_s", stage.idle_s},
                    {"peak_memory_bytes", stage.peak.si()},
                    {"weights_bytes", stage.memory.weights.si()},
                    {"gradients_bytes", stage.memory.gradients.si()},
                    {"optimizer_bytes", stage.memory.optimizer.si()},
                    {"buffers_bytes", stage.memory.buffers.si()},
                    {"activations_bytes", stage.activations.si()},
                    {"transient_bytes", stage.transient.si()},
                    {"peak_at_s", stage.peak_at_s},
                    {"peak_micro_batch", stage.peak_micro_batch},
                    {"shortfall_bytes", stage.shortfall.si()}});
  }
  return rows;
}

Json metrics_json(const TrainingReport& r) {
  constexpr double tera = 1e12;
  const Interval step = p10_p90(r.step_s, r.uncertainty.sigma);
  Json metrics{
      {"step_s", r.step_s},
      {"step_p10_s", step.p10},
      {"step_p90_s", step.p90},
      {"fits", r.fits()},
      {"memory_shortfall_bytes", r.shortfall().si()},
      {"peak_memory_bytes", r.peak_memory().si()},
      {"tokens_per_s", r.tokens / r.step_s},
      {"tokens_per_s_per_device", r.tokens_per_s_per_device()},
      {"model_tflops_per_device", r.model_flops_per_s_per_device() / tera},
      {"hardware_tflops_per_device", r.hardware_flops / r.step_s / r.devices / tera},
      {"model_flops", r.model_flops},
      {"hardware_flops", r.hardware_flops},
      {"mfu", r.mfu()},
      {"mfu_bf16",
       r.bf16_flops_per_s > 0 ? r.model_flops_per_s_per_device() / r.bf16_flops_per_s : 0.0},
      {"bubble_fraction", r.bubble_fraction},
      {"exposed_communication_s", r.exposed_communication_s()},
      {"hidden_communication_s", r.mean.hidden_communication_s},
      {"max_over_mean", r.max_over_mean},
      {"dropped_share", r.dropped_share},
      {"device_hours_per_trillion_tokens", r.step_s * r.devices / r.tokens * tera / 3600},
      {"energy_j", r.energy_j},
      {"cost_usd", r.cost_usd}};
  metrics["exposed_communication"] = by_category(r.mean.busy_s, true);
  Json peaks = Json::array();
  for (const StageReport& stage : r.stages) {
    peaks.push_back(stage.peak.si());
  }
  metrics["peak_memory_bytes_by_stage"] = std::move(peaks);
  return metrics;
}

Json laws_json(const std::vector<LawReport>& laws, double devices) {
  Json rows = Json::array();
  for (const LawReport& law : laws) {
    Json row{{"family", law.family},
             {"profile", law.profile},
             {"basis", law.basis},
             {"source", law.source},
             {"date", law.date}};
    for (const auto& [key, text] : {std::pair{"library", &law.library},
                                    {"kernel_source", &law.kernel_source},
                                    {"law", &law.law}}) {
      if (!text->empty()) {
        row[key] = *text;
      }
    }
    if (law.median_error) {
      row["median_error"] = *law.median_error;
      row["p90_error"] = *law.p90_error;
    }
    if (law.use) {
      row["calls"] = law.use->kernels;
      row["extrapolated_calls"] = law.use->extrapolated;
      row["mean_device_s"] = law.use->device_s / devices;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Json uncertainty_json(const TrainingReport& report) {
  Json families = Json::array();
  for (const FamilyUncertainty& f : report.uncertainty.families) {
    families.push_back({{"family", f.family},
                        {"critical_s", f.critical_s},
                        {"sigma", f.sigma},
                        {"variance_share", f.variance_share}});
  }
  return {{"sigma", report.uncertainty.sigma},
          {"families", std::move(families)},
          {"deployment_share", report.uncertainty.deployment_share}};
}

}  // namespace

Json to_json(const TrainingReport& report, const Json& effective) {
  Json breakdown = by_category(report.mean.busy_s, false);
  breakdown["bubble_s"] = report.mean.waiting_s;
  if (report.mean.hidden_communication_s > 0) {
    breakdown["hidden"] = hidden_json(report.mean);
  }
  return {{"schema", "moesim.training_report/1"},
          {"scenario", effective},
          {"metrics", metrics_json(report)},
          {"breakdown", std::move(breakdown)},
          {"critical_path", by_category(report.critical, false)},
          {"stages", stages_json(report.stages)},
          {"memory",
           {{"capacity_bytes", report.capacity.si()},
            {"usable_bytes", report.usable.si()},
            {"peak_bytes", report.peak_memory().si()},
            {"shortfall_bytes", report.shortfall().si()}}},
          {"uncertainty", uncertainty_json(report)},
          {"provenance",
           {{"kernels", laws_json(report.kernels, report.simulated_devices)},
            {"communication", laws_json(report.communication, report.simulated_devices)},
            {"routing", report.routing},
            {"flop_convention",
             "3 x the forward pass's products and attention (causal: the unmasked half), head and "
             "router included; what is worked out again is not counted"},
            {"peak_format", name_of(report.peak_format)}}},
          {"megatron_arguments", report.megatron_arguments},
          {"warnings", report.warnings}};
}

}  // namespace moesim
