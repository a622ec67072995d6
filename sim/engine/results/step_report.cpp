#include "sim/engine/results/step_report.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "sim/engine/lowering/step_work.h"
#include "sim/engine/results/critical_path.h"
#include "sim/engine/unused_keys.h"

namespace moesim {
namespace {

std::vector<LayerReport> layer_reports(const StepOutcome& step) {
  const LoweredStep& lowered = step.lowered;
  std::vector<LayerReport> rows;
  for (std::size_t l = 0; l < lowered.layer_is_moe.size(); ++l) {
    LayerReport& row = rows.emplace_back();
    row.layer = static_cast<int>(l);
    row.is_moe = lowered.layer_is_moe[l] != 0;
  }
  for (const PathTask& on_path : critical_path(lowered.graph, step.result)) {
    const auto id = static_cast<std::size_t>(on_path.id);
    const Task& task = lowered.graph.tasks()[id];
    const TaskTimes& times = step.result.tasks[id];
    LayerReport& row = rows.at(static_cast<std::size_t>(task.layer));
    if (row.end_s == 0.0) {
      row.start_s = times.start_s;
    }
    row.end_s = times.end_s;
    const double seconds = times.end_s - times.start_s;
    switch (static_cast<Category>(task.label)) {
      case Category::dispatch:
        row.dispatch_s += seconds;
        break;
      case Category::experts:
        row.experts_s += seconds;
        break;
      case Category::combine:
        row.combine_s += seconds;
        break;
      default:
        break;
    }
  }
  for (const LayerLoad& load : lowered.moe_layers) {
    rows.at(static_cast<std::size_t>(load.layer)).load = load;
  }
  return rows;
}

void note_use(const LoweredStep& lowered, LawReport& row) {
  const auto use = std::ranges::find(lowered.families, row.family, &FamilyUse::name);
  if (use != lowered.families.end()) {
    row.use = *use;
  }
}

std::vector<LawReport> kernel_laws(const Simulation& simulation, const LoweredStep& lowered) {
  std::set<std::string> used;
  for (const FamilyUse& use : lowered.families) {
    used.insert(use.name);
  }
  std::vector<LawReport> rows;
  for (const std::string& name : used) {
    if (const auto p = simulation.kernels().provenance(name)) {
      LawReport& row = rows.emplace_back();
      row.family = p->family;
      row.profile = p->profile;
      row.basis = name_of(p->basis);
      row.source = p->source;
      row.date = p->date;
      row.kernel_source = p->kernel_source;
      row.law = p->law;
      row.layout = p->layout;
      row.law_layout = p->law_layout;
      row.wish_granted = p->wish_granted;
      row.better_known = p->better_known;
      row.host_floor_s = p->host_floor_s;
      if (p->basis != Basis::uncalibrated) {
        row.median_error = p->median_error;
        row.p90_error = p->p90_error;
        row.transfer_sigma = p->transfer_sigma;
      }
      note_use(lowered, row);
    }
  }
  return rows;
}

SharedErrors shared_errors(const std::vector<LawReport>& kernels) {
  SharedErrors shared{.transfers = {}, .deployment = k_deployment_sigma};
  for (const LawReport& law : kernels) {
    if (law.transfer_sigma > 0) {
      shared.transfers.push_back(
          {.family = law.family, .origin = law.profile, .sigma = law.transfer_sigma});
    }
  }
  return shared;
}

std::vector<LawReport> communication_laws(const Simulation& simulation,
                                          const LoweredStep& lowered) {
  std::vector<LawReport> rows;
  for (const CommProvenance& p : simulation.communication()) {
    LawReport& row = rows.emplace_back();
    row.family = p.family;
    row.profile = p.profile;
    row.basis = name_of(p.basis);
    row.source = p.fit.source;
    row.date = p.fit.date;
    row.library = p.library;
    if (p.basis != CommBasis::uncalibrated) {
      row.median_error = p.fit.median_error;
      row.p90_error = p.fit.p90_error;
    }
    note_use(lowered, row);
  }
  return rows;
}

// What the graph holds, and why it does not hold more. Empty without concurrent streams.
std::vector<HeldShare> interference(const Simulation& simulation, const LoweredStep& lowered) {
  if (lowered.stream_names.empty()) {
    return {};
  }
  std::vector<HeldShare> rows = Interference(lowering_input(simulation.deployment(), {})).rows();
  if (!simulation.scenario().policy.overlap_options.interference) {
    for (HeldShare& row : rows) {
      row = {.communication = row.communication,
             .source = "none: policy/overlap/interference of the scenario"};
    }
  }
  return rows;
}

// Empty where steps are not captured or keep their size.
std::string batch_padding(const Policy& policy) {
  if (!policy.cuda_graphs.value_or(false) || policy.batch_padding.sizes.empty()) {
    return {};
  }
  const CaptureList* list = find_capture_list(policy.batch_padding.name);
  return list == nullptr ? "the scenario's sizes" : std::string(list->source);
}

void warn_about(const std::vector<LawReport>& laws, std::vector<std::string>& warnings) {
  for (const LawReport& law : laws) {
    if (law.basis == "uncalibrated") {
      warnings.push_back(law.family + ": uncalibrated, nominal rates of the data sheet");
    } else if (law.basis == "transferred") {
      const bool same = law.law.empty() || law.law == law.family;
      warnings.push_back(law.family + ": transferred from " + (same ? "" : law.law + " of ") +
                         law.profile);
    }
    if (law.layout != law.law_layout && law.basis != "uncalibrated") {
      warnings.push_back(law.family + ": the all-to-all leaves " + law.layout +
                         " rows, of which no law exists for this device and format; the law of a " +
                         law.law_layout + " kernel stands in");
    }
    if (!law.better_known.empty()) {
      warnings.push_back(law.family + ": its law rests on less than that of " + law.better_known +
                         "; comparing these formats compares fits");
    }
    if (!law.wish_granted) {
      warnings.push_back(law.family + ": the version that policy/kernels names has no law of it; " +
                         law.profile + " answers");
    }
    if (law.host_floor_s > 0) {
      warnings.push_back(law.family + ": measured with launches by the host, " +
                         std::to_string(std::lround(law.host_floor_s * 1e6)) +
                         " us at any size; a captured step is faster than that");
    }
    if (law.use && law.use->extrapolated > 0) {
      warnings.push_back(law.family + ": " + std::to_string(law.use->extrapolated) + " of " +
                         std::to_string(law.use->kernels) +
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

void warn_of_policies(const Simulation& simulation, std::vector<std::string>& warnings) {
  const Policy& policy = simulation.scenario().policy;
  if (policy.residency == TokenResidency::last_expert) {
    warnings.emplace_back(
        "token_residency last_expert: the residual stream and the output of shared experts move "
        "with their tokens at no cost of their own");
  }
  if (const auto beside = shortcut_layers(simulation.model());
      beside > 0 && policy.overlap != "shortcut") {
    warnings.push_back("shortcut: the routed experts of " + std::to_string(beside) +
                       " layers could run beside the layers that follow "
                       "(/policy/overlap=shortcut), but run in line");
  }
  if (policy.all_to_all_link_rate.si() > 0.0) {
    warnings.emplace_back("the all-to-all's rate on device links is the scenario's, not the fit's");
  }
  for (std::string& text : unused_key_warnings(
           simulation.scenario(), {.routed_experts = simulation.system().has_experts(),
                                   .expert_ranks = simulation.system().ranks().units()})) {
    warnings.push_back(std::move(text));
  }
}

void warn_of_run(const Simulation& simulation, const StepReport& report,
                 std::vector<std::string>& warnings) {
  if (!report.memory.fits()) {
    constexpr double megabyte = 1e6;
    warnings.push_back(
        "does not fit: " + std::to_string(std::llround(report.memory.shortfall().si() / megabyte)) +
        " MB short on the fullest device; times are what they would be");
  }
  if (report.steps_s.size() > 1) {
    warnings.push_back("step_s, rates and costs are means of " +
                       std::to_string(report.steps_s.size()) +
                       " steps; all else describes the last one");
  }
  const auto empty = empty_slots(simulation.placement());
  if (empty > 0) {
    warnings.push_back("placement: " + std::to_string(empty) +
                       " of all layers' slots stay empty: every device with room already holds "
                       "the expert that a replica is for");
  }
}

}  // namespace

StepReport step_report(const Simulation& simulation, const std::vector<double>& steps,
                       const StepOutcome& last) {
  const StepBatch batch = simulation.system().batch(static_cast<int>(steps.size()) - 1);
  StepReport report;
  report.steps_s = steps;
  report.metrics = step_metrics(simulation, steps, last);
  report.devices = simulation.cluster().devices();
  report.nodes = simulation.cluster().nodes;
  report.output_tokens = batch.output_tokens();
  report.decode_sequences = batch.decode_sequences();
  report.decode_tokens = batch.tokens() - batch.prefill_tokens();
  report.prefill_tokens = batch.prefill_tokens();
  report.padded_tokens = last.lowered.padded_tokens;
  report.padding_s = last.lowered.padding_s / report.devices;
  report.batch_padding = batch_padding(simulation.scenario().policy);
  report.memory = simulation.memory(last);
  report.makespan_s = last.result.makespan_s;
  report.breakdown = breakdown(last.lowered, last.result);
  report.layers = layer_reports(last);
  report.links = link_use(simulation.topology(), last);
  report.kernels = kernel_laws(simulation, last.lowered);
  report.uncertainty =
      propagate_uncertainty(last.lowered, last.result, shared_errors(report.kernels));
  report.communication = communication_laws(simulation, last.lowered);
  report.interference = interference(simulation, last.lowered);
  report.degree = last.degree;
  report.tried = last.tried;
  report.warnings = simulation.scenario().warnings;
  warn_of_run(simulation, report, report.warnings);
  warn_of_policies(simulation, report.warnings);
  warn_about(report.kernels, report.warnings);
  warn_about(report.communication, report.warnings);
  if (simulation.routing() != nullptr) {
    report.routing = simulation.routing()->describe();
    for (const std::string& text : simulation.routing_notes()) {
      report.warnings.push_back("routing: " + text);
    }
  }
  return report;
}

}  // namespace moesim
