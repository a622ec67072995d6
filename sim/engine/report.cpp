// The report document: keys and units of the contract.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "sim/engine/metrics.h"
#include "sim/engine/simulation.h"
#include "sim/engine/uncertainty.h"

namespace moesim {
namespace {

using Json = nlohmann::json;

Json scalars(const Simulation& simulation, const std::vector<double>& steps,
             const StepOutcome& last, const MemoryUse& memory, double sigma) {
  const StepMetrics m = step_metrics(simulation, steps, last);
  const Workload& workload = simulation.scenario().workload;
  const double dp = simulation.scenario().parallelism.attention_dp;
  const double devices = simulation.cluster().devices();
  const double per_second = m.step_s > 0 ? dp / m.step_s : 0.0;
  const Interval step = p10_p90(m.step_s, sigma);
  Json metrics{{"step_s", m.step_s},
               {"step_p10_s", step.p10},
               {"step_p90_s", step.p90},
               {"fits", memory.fits()},
               {"memory_shortfall_bytes", memory.shortfall().si()},
               {"mfu", m.mfu},
               {"mbu", m.mbu},
               {"exposed_communication_s", m.exposed_communication_s},
               {"bubble_fraction", m.bubble_fraction},
               {"max_over_mean", m.max_over_mean},
               {"imbalance_ratio", m.max_over_mean - 1.0},
               {"balancedness", 1.0 / m.max_over_mean},
               {"remote_ratio", m.remote_ratio},
               {"cross_node_ratio", m.cross_node_ratio},
               {"token_transfers", m.token_transfers},
               {"peak_memory_bytes", memory.total().si()},
               {"energy_j", m.energy_j},
               {"cost_usd", m.cost_usd}};
  // A prompt's first token comes at the end of its step; a decoding request gets one per step.
  const double output =
      static_cast<double>(workload.decode_requests + workload.prompts()) * per_second;
  metrics["output_tokens_per_s"] = output;
  metrics["output_tokens_per_s_p10"] = p10_p90(output, sigma).p10;
  metrics["output_tokens_per_s_p90"] = p10_p90(output, sigma).p90;
  metrics["output_tokens_per_s_per_device"] = output / devices;
  if (workload.decode_requests > 0) {
    metrics["tpot_s"] = m.step_s;
    metrics["output_tokens_per_s_per_node"] = output / simulation.cluster().nodes;
    metrics["cost_usd_per_million_output_tokens"] =
        output > 0 ? m.cost_usd / m.step_s / output * 1e6 : 0.0;
  }
  if (workload.prefill_tokens > 0) {
    const double input = static_cast<double>(workload.prefill_tokens) * per_second;
    metrics["ttft_s"] = m.step_s;
    metrics["input_tokens_per_s"] = input;
    metrics["input_tokens_per_s_p10"] = p10_p90(input, sigma).p10;
    metrics["input_tokens_per_s_p90"] = p10_p90(input, sigma).p90;
    metrics["input_tokens_per_s_per_device"] = input / devices;
    metrics["input_tokens_per_s_per_node"] = input / simulation.cluster().nodes;
  }
  if (steps.size() > 1) {
    metrics["steps_s"] = steps;
  }
  return metrics;
}

Json by_category(const std::array<double, k_categories>& seconds) {
  Json object = Json::object();
  for (std::size_t c = 0; c < k_categories; ++c) {
    object[std::string(name_of(static_cast<Category>(c))) + "_s"] = seconds[c];
  }
  return object;
}

// Seconds on the critical path, by layer and category.
Json layers(const StepOutcome& step) {
  const LoweredStep& lowered = step.lowered;
  std::vector<Json> rows;
  for (std::size_t l = 0; l < lowered.layer_is_moe.size(); ++l) {
    rows.push_back({{"layer", l},
                    {"kind", lowered.layer_is_moe[l] != 0 ? "moe" : "dense"},
                    {"start_s", 0.0},
                    {"end_s", 0.0},
                    {"dispatch_s", 0.0},
                    {"experts_s", 0.0},
                    {"combine_s", 0.0}});
  }
  for (const TaskId id : critical_path(lowered.graph, step.result)) {
    const Task& task = lowered.graph.tasks()[static_cast<std::size_t>(id)];
    const TaskTimes& times = step.result.tasks[static_cast<std::size_t>(id)];
    Json& row = rows.at(static_cast<std::size_t>(task.layer));
    if (row["end_s"] == 0.0) {
      row["start_s"] = times.start_s;
    }
    row["end_s"] = times.end_s;
    const auto category = static_cast<Category>(task.label);
    if (category == Category::dispatch || category == Category::combine ||
        category == Category::experts) {
      const std::string key = std::string(name_of(category)) + "_s";
      row[key] = row[key].get<double>() + times.end_s - times.start_s;
    }
  }
  for (const LayerLoad& load : lowered.moe_layers) {
    Json& row = rows.at(static_cast<std::size_t>(load.layer));
    row["max_over_mean"] = load.max_over_mean;
    row["imbalance_ratio"] = load.max_over_mean - 1.0;
    row["balancedness"] = 1.0 / load.max_over_mean;
    row["busiest_rank"] = load.busiest_rank;
    row["remote_ratio"] = load.pairs > 0 ? load.tokens_sent / load.pairs : 0.0;
    row["cross_node_ratio"] = load.pairs > 0 ? load.tokens_sent_far / load.pairs : 0.0;
  }
  return rows;
}

Json links(const Topology& topology, const StepOutcome& step) {
  Json rows = Json::array();
  for (const LinkUse& use : link_use(topology, step)) {
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
  return {
      {"weights_bytes", memory.weights.si()},      {"expert_weights_bytes", memory.experts.si()},
      {"kv_bytes", memory.kv_cache.si()},          {"activation_bytes", memory.activations.si()},
      {"buffers_bytes", memory.buffers.si()},      {"total_bytes", memory.total().si()},
      {"usable_bytes", memory.usable.si()},        {"capacity_bytes", memory.capacity.si()},
      {"shortfall_bytes", memory.shortfall().si()}};
}

Json with_use(Json row, const LoweredStep& lowered, const std::string& family) {
  for (const FamilyUse& use : lowered.families) {
    if (use.name == family) {
      row["calls"] = use.kernels;
      row["extrapolated_calls"] = use.extrapolated;
      row["mean_device_s"] = use.device_s / lowered.devices;
    }
  }
  return row;
}

Json kernel_provenance(const Simulation& simulation, const LoweredStep& lowered) {
  std::set<std::string> used;
  for (const FamilyUse& use : lowered.families) {
    used.insert(use.name);
  }
  Json rows = Json::array();
  for (const std::string& name : used) {
    if (const auto p = simulation.kernels().provenance(name)) {
      Json row{{"family", p->family},
               {"profile", p->profile},
               {"basis", name_of(p->basis)},
               {"source", p->source},
               {"date", p->date}};
      if (p->basis != Basis::uncalibrated) {
        row["median_error"] = p->median_error;
        row["p90_error"] = p->p90_error;
      }
      rows.push_back(with_use(std::move(row), lowered, p->family));
    }
  }
  return rows;
}

Json comm_provenance_rows(const Simulation& simulation, const LoweredStep& lowered) {
  Json rows = Json::array();
  for (const CommProvenance& p : simulation.communication()) {
    Json row{{"family", p.family},
             {"profile", p.profile},
             {"basis", name_of(p.basis)},
             {"source", p.fit.source},
             {"date", p.fit.date}};
    if (!p.library.empty()) {
      row["library"] = p.library;
    }
    if (p.basis != CommBasis::uncalibrated) {
      row["median_error"] = p.fit.median_error;
      row["p90_error"] = p.fit.p90_error;
    }
    rows.push_back(with_use(std::move(row), lowered, p.family));
  }
  return rows;
}

// `provenance`: rows that name every family and its basis.
Json uncertainty_json(const Uncertainty& uncertainty, double makespan_s,
                      std::initializer_list<const Json*> provenance) {
  const auto share = [makespan_s](double seconds) {
    return makespan_s > 0 ? seconds / makespan_s : 0.0;
  };
  Json families = Json::array();
  for (const FamilyUncertainty& f : uncertainty.families) {
    Json row{{"family", f.family},
             {"critical_s", f.critical_s},
             {"share", share(f.critical_s)},
             {"sigma", f.sigma},
             {"variance_share", f.variance_share}};
    for (const Json* rows : provenance) {
      const auto origin =
          std::ranges::find_if(*rows, [&](const Json& r) { return r["family"] == f.family; });
      if (origin != rows->end()) {
        row["basis"] = (*origin)["basis"];
      }
    }
    families.push_back(std::move(row));
  }
  Json extrapolated = Json::array();
  for (const ExtrapolatedOp& op : uncertainty.extrapolated) {
    extrapolated.push_back({{"label", op.label},
                            {"family", op.family},
                            {"layers", op.layers},
                            {"critical_s", op.critical_s},
                            {"share", share(op.critical_s)}});
  }
  return {{"sigma", uncertainty.sigma},
          {"families", std::move(families)},
          {"extrapolated", std::move(extrapolated)}};
}

void warn_about(const Json& rows, std::vector<std::string>& warnings) {
  for (const Json& row : rows) {
    const std::string family = row["family"];
    if (row["basis"] == "uncalibrated") {
      warnings.push_back(family + ": uncalibrated, nominal rates of the data sheet");
    } else if (row["basis"] == "transferred") {
      warnings.push_back(family + ": transferred from " + row["profile"].get<std::string>());
    }
    if (row.value("extrapolated_calls", 0) > 0) {
      warnings.push_back(family + ": " + std::to_string(row["extrapolated_calls"].get<int>()) +
                         " of " + std::to_string(row["calls"].get<int>()) +
                         " calls lie outside the fitted range (extrapolated)");
    }
  }
}

std::int64_t empty_slots(const ExpertPlacement& placement) {
  std::int64_t empty = 0;
  for (const auto& slots : placement.slot_expert) {
    empty += std::ranges::count(slots, -1);
  }
  return empty;
}

}  // namespace

Json make_report(const Simulation& simulation, const std::vector<double>& steps,
                 const StepOutcome& last) {
  const MemoryUse memory = simulation.memory();
  const MeanDevice mean = mean_device(last.lowered, last.result);
  Json mean_json = by_category(mean.busy_s);
  mean_json["waiting_s"] = mean.waiting_s;
  Json kernels = kernel_provenance(simulation, last.lowered);
  Json communication = comm_provenance_rows(simulation, last.lowered);
  const Uncertainty uncertainty = propagate_uncertainty(last.lowered, last.result);
  Json error_bars =
      uncertainty_json(uncertainty, last.result.makespan_s, {&kernels, &communication});
  std::vector<std::string> warnings;
  if (!memory.fits()) {
    constexpr double megabyte = 1e6;
    warnings.push_back(
        "does not fit: " + std::to_string(std::llround(memory.shortfall().si() / megabyte)) +
        " MB short on the fullest device; times are what they would be");
  }
  if (steps.size() > 1) {
    warnings.push_back("step_s, rates and costs are means of " + std::to_string(steps.size()) +
                       " steps; all else describes the last one");
  }
  const auto empty = empty_slots(simulation.placement());
  if (empty > 0) {
    warnings.push_back("placement: " + std::to_string(empty) +
                       " of all layers' slots stay empty: every device with room already holds "
                       "the expert that a replica is for");
  }
  if (simulation.scenario().policy.residency == TokenResidency::last_expert) {
    warnings.emplace_back(
        "token_residency last_expert: the residual stream and the output of shared experts move "
        "with their tokens at no cost of their own");
  }
  if (simulation.scenario().policy.all_to_all_link_rate.si() > 0.0) {
    warnings.emplace_back("the all-to-all's rate on device links is the scenario's, not the fit's");
  }
  warn_about(kernels, warnings);
  warn_about(communication, warnings);
  Json provenance{{"kernels", std::move(kernels)}, {"communication", std::move(communication)}};
  if (simulation.routing() != nullptr) {
    provenance["routing"] = simulation.routing()->describe();
    for (const std::string& text : simulation.routing_notes()) {
      warnings.push_back("routing: " + text);
    }
  }
  return {{"schema", "moesim.report/1"},
          {"scenario", simulation.scenario().effective},
          {"details_of_step", steps.size() - 1},
          {"metrics", scalars(simulation, steps, last, memory, uncertainty.sigma)},
          {"breakdown", by_category(breakdown(last.lowered, last.result))},
          {"mean_device", std::move(mean_json)},
          {"uncertainty", std::move(error_bars)},
          {"layers", layers(last)},
          {"links", links(simulation.topology(), last)},
          {"memory", memory_json(memory)},
          {"provenance", std::move(provenance)},
          {"warnings", warnings}};
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
