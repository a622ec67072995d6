// The report document: keys and units of the contract.
#include <nlohmann/json.hpp>

#include "sim/engine/results/step_report.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

void add_rates(const StepReport& report, Json& metrics) {
  const double sigma = report.uncertainty.sigma;
  const double output = report.output_tokens_per_s();
  metrics["output_tokens_per_s"] = output;
  metrics["output_tokens_per_s_p10"] = p10_p90(output, sigma).p10;
  metrics["output_tokens_per_s_p90"] = p10_p90(output, sigma).p90;
  metrics["output_tokens_per_s_per_device"] = output / report.devices;
  if (report.decode_sequences > 0) {
    const double each =
        static_cast<double>(report.decode_tokens) / static_cast<double>(report.decode_sequences);
    metrics["tpot_s"] = report.metrics.step_s / each;
    metrics["output_tokens_per_s_per_node"] = output / report.nodes;
    metrics["cost_usd_per_million_output_tokens"] =
        output > 0 ? report.metrics.cost_usd / report.metrics.step_s / output * 1e6 : 0.0;
  }
  if (report.prefill_tokens > 0) {
    const double input = report.input_tokens_per_s();
    if (report.output_tokens > report.decode_tokens) {
      metrics["ttft_s"] = report.metrics.step_s;
    }
    metrics["input_tokens_per_s"] = input;
    metrics["input_tokens_per_s_p10"] = p10_p90(input, sigma).p10;
    metrics["input_tokens_per_s_p90"] = p10_p90(input, sigma).p90;
    metrics["input_tokens_per_s_per_device"] = input / report.devices;
    metrics["input_tokens_per_s_per_node"] = input / report.nodes;
  }
}

Json metrics_json(const StepReport& report) {
  const StepMetrics& m = report.metrics;
  const Interval step = p10_p90(m.step_s, report.uncertainty.sigma);
  Json metrics{{"step_s", m.step_s},
               {"step_p10_s", step.p10},
               {"step_p90_s", step.p90},
               {"fits", report.memory.fits()},
               {"memory_shortfall_bytes", report.memory.shortfall().si()},
               {"mfu", m.mfu},
               {"mbu", m.mbu},
               {"exposed_communication_s", m.exposed_communication_s},
               {"hidden_communication_s", m.mean_device.hidden_communication_s},
               {"bubble_fraction", m.bubble_fraction},
               {"max_over_mean", m.max_over_mean},
               {"imbalance_ratio", m.max_over_mean - 1.0},
               {"balancedness", 1.0 / m.max_over_mean},
               {"remote_ratio", m.remote_ratio},
               {"cross_node_ratio", m.cross_node_ratio},
               {"token_transfers", m.token_transfers},
               {"peak_memory_bytes", report.memory.total().si()},
               {"padded_tokens", report.padded_tokens},
               {"padding_s", report.padding_s},
               {"energy_j", m.energy_j},
               {"cost_usd", m.cost_usd}};
  add_rates(report, metrics);
  if (report.steps_s.size() > 1) {
    metrics["steps_s"] = report.steps_s;
  }
  return metrics;
}

Json by_category(const std::array<double, k_categories>& seconds) {
  Json object = Json::object();
  for (std::size_t c = 0; c < k_step_categories; ++c) {
    object[std::string(name_of(static_cast<Category>(c))) + "_s"] = seconds[c];
  }
  return object;
}

Json overlap_json(const StepReport& report) {
  Json tried = Json::array();
  for (const TriedDegree& t : report.tried) {
    tried.push_back({{"degree", t.degree}, {"step_s", t.step_s}});
  }
  return {{"degree", report.degree}, {"tried", std::move(tried)}};
}

Json interference_json(const std::vector<HeldShare>& held) {
  Json rows = Json::array();
  for (const HeldShare& row : held) {
    rows.push_back({{"communication", row.communication},
                    {"factor", row.fraction},
                    {"multiprocessors", row.multiprocessors},
                    {"source", row.source}});
  }
  return rows;
}

Json layers_json(const std::vector<LayerReport>& layers) {
  Json rows = Json::array();
  for (const LayerReport& layer : layers) {
    Json row{{"layer", layer.layer},           {"kind", layer.is_moe ? "moe" : "dense"},
             {"start_s", layer.start_s},       {"end_s", layer.end_s},
             {"dispatch_s", layer.dispatch_s}, {"experts_s", layer.experts_s},
             {"combine_s", layer.combine_s}};
    if (layer.load) {
      const LayerLoad& load = *layer.load;
      row["max_over_mean"] = load.max_over_mean;
      row["imbalance_ratio"] = load.max_over_mean - 1.0;
      row["balancedness"] = 1.0 / load.max_over_mean;
      row["busiest_rank"] = load.busiest_rank;
      row["remote_ratio"] = load.pairs > 0 ? load.tokens_sent / load.pairs : 0.0;
      row["cross_node_ratio"] = load.pairs > 0 ? load.tokens_sent_far / load.pairs : 0.0;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Json links_json(const std::vector<LinkUse>& links) {
  Json rows = Json::array();
  for (const LinkUse& use : links) {
    rows.push_back({{"kind", name_of(use.kind)},
                    {"count", use.count},
                    {"bytes", use.bytes},
                    {"mean_utilisation", use.mean_utilisation},
                    {"max_utilisation", use.max_utilisation},
                    {"busiest", use.busiest}});
  }
  return rows;
}

Json memory_json(const MemoryUse& memory) {
  return {{"weights_bytes", memory.weights.si()},
          {"expert_weights_bytes", memory.experts.si()},
          {"kv_bytes", memory.kv_cache.si()},
          {"activation_bytes", memory.activations.si()},
          {"kv_bytes_per_token", memory.per_token.si()},
          {"kv_bytes_largest_sequence", memory.largest_sequence.si()},
          {"buffers_bytes", memory.buffers.si()},
          {"total_bytes", memory.total().si()},
          {"usable_bytes", memory.usable.si()},
          {"capacity_bytes", memory.capacity.si()},
          {"shortfall_bytes", memory.shortfall().si()}};
}

Json laws_json(const std::vector<LawReport>& laws, int devices) {
  Json rows = Json::array();
  for (const LawReport& law : laws) {
    Json row{{"family", law.family},
             {"profile", law.profile},
             {"basis", law.basis},
             {"source", law.source},
             {"date", law.date}};
    for (const auto& [key, text] : {std::pair{"library", &law.library},
                                    {"kernel_source", &law.kernel_source},
                                    {"law", &law.law},
                                    {"layout", &law.layout},
                                    {"law_layout", &law.law_layout}}) {
      if (!text->empty()) {
        row[key] = *text;
      }
    }
    if (law.median_error) {
      row["median_error"] = *law.median_error;
      row["p90_error"] = *law.p90_error;
    }
    if (law.host_floor_s > 0) {
      row["host_floor_s"] = law.host_floor_s;
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

Json uncertainty_json(const StepReport& report) {
  const auto share = [&report](double seconds) {
    return report.makespan_s > 0 ? seconds / report.makespan_s : 0.0;
  };
  Json families = Json::array();
  for (const FamilyUncertainty& f : report.uncertainty.families) {
    Json row{{"family", f.family},
             {"critical_s", f.critical_s},
             {"share", share(f.critical_s)},
             {"sigma", f.sigma},
             {"variance_share", f.variance_share}};
    for (const auto* laws : {&report.kernels, &report.communication}) {
      for (const LawReport& law : *laws) {
        if (law.family == f.family) {
          row["basis"] = law.basis;
        }
      }
    }
    families.push_back(std::move(row));
  }
  Json extrapolated = Json::array();
  for (const ExtrapolatedOp& op : report.uncertainty.extrapolated) {
    extrapolated.push_back({{"label", op.label},
                            {"family", op.family},
                            {"layers", op.layers},
                            {"critical_s", op.critical_s},
                            {"share", share(op.critical_s)}});
  }
  return {{"sigma", report.uncertainty.sigma},
          {"families", std::move(families)},
          {"deployment_share", report.uncertainty.deployment_share},
          {"extrapolated", std::move(extrapolated)}};
}

}  // namespace

Json hidden_json(const MeanDevice& mean) {
  Json rows = Json::object();
  for (std::size_t c = 0; c < k_categories; ++c) {
    const auto category = static_cast<Category>(c);
    double hidden = 0.0;
    Json under = Json::object();
    for (std::size_t k = 0; k < k_categories; ++k) {
      if (mean.hidden_s[c][k] > 0) {
        hidden += mean.hidden_s[c][k];
        under[std::string(name_of(static_cast<Category>(k))) + "_s"] = mean.hidden_s[c][k];
      }
    }
    if (is_communication(category) && mean.busy_s[c] + hidden > 0) {
      rows[std::string(name_of(category))] = {
          {"exposed_s", mean.busy_s[c]}, {"hidden_s", hidden}, {"under", std::move(under)}};
    }
  }
  return rows;
}

Json to_json(const StepReport& report, const Json& effective) {
  Json mean_device = by_category(report.metrics.mean_device.busy_s);
  mean_device["waiting_s"] = report.metrics.mean_device.waiting_s;
  Json provenance{{"kernels", laws_json(report.kernels, report.devices)},
                  {"communication", laws_json(report.communication, report.devices)}};
  if (!report.interference.empty()) {
    provenance["interference"] = interference_json(report.interference);
  }
  if (!report.tried.empty()) {
    provenance["overlap"] = overlap_json(report);
  }
  if (!report.batch_padding.empty()) {
    provenance["batch_padding"] = report.batch_padding;
  }
  if (!report.routing.empty()) {
    provenance["routing"] = report.routing;
  }
  Json breakdown = by_category(report.breakdown);
  if (report.metrics.mean_device.hidden_communication_s > 0) {
    breakdown["hidden"] = hidden_json(report.metrics.mean_device);
  }
  return {{"schema", "moesim.report/1"},
          {"scenario", effective},
          {"details_of_step", report.steps_s.size() - 1},
          {"metrics", metrics_json(report)},
          {"breakdown", std::move(breakdown)},
          {"mean_device", std::move(mean_device)},
          {"uncertainty", uncertainty_json(report)},
          {"layers", layers_json(report.layers)},
          {"links", links_json(report.links)},
          {"memory", memory_json(report.memory)},
          {"provenance", std::move(provenance)},
          {"warnings", report.warnings}};
}

Json host_report(const HostTimes& host, double wall_s) {
  return {
      {"wall_s", wall_s},
      {"load_s", host.load_s},
      {"placement_s", host.placement_s},
      {"routing_s", host.routing_s},
      {"engine_s", host.engine_s},
      {"tasks", host.tasks},
      {"events", host.events},
      {"events_per_s", host.engine_s > 0 ? static_cast<double>(host.events) / host.engine_s : 0.0}};
}

}  // namespace moesim
