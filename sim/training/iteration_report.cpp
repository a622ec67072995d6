#include "sim/training/iteration_report.h"

#include <algorithm>
#include <limits>
#include <set>

#include "sim/engine/results/critical_path.h"
#include "sim/training/megatron_arguments.h"
#include "sim/training/memory_ledger.h"

namespace moesim {
namespace {

double peak_of(const Device& device, DType dtype) {
  const auto found = device.peak.find(peak_class(dtype));
  return found == device.peak.end() ? 0.0 : found->second.si();
}

// When every action of every stage ran.
std::vector<std::vector<PassSpan>> pass_spans(const TrainingRun& run) {
  std::vector<std::vector<PassSpan>> spans(run.system->schedule().actions.size());
  for (const ActionTasks& action : run.graph.actions) {
    double start_s = std::numeric_limits<double>::infinity();
    double end_s = 0.0;
    for (const TaskId task : action.first) {
      start_s = std::min(start_s, run.result.tasks[static_cast<std::size_t>(task)].start_s);
    }
    for (const TaskId task : action.last) {
      end_s = std::max(end_s, run.result.tasks[static_cast<std::size_t>(task)].end_s);
    }
    spans[static_cast<std::size_t>(action.stage)].push_back(
        {.start = Seconds(std::min(start_s, end_s)), .end = Seconds(end_s)});
  }
  return spans;
}

MemoryLedger ledger_of(const TrainingRun& run, Bytes usable) {
  const TrainingSystem& system = *run.system;
  const NodeSpec& node = system.cluster().node;
  const Bytes host = node.host ? node.host->memory.capacity / node.devices : Bytes(0.0);
  const auto spans = pass_spans(run);
  return iteration_ledger({.schedule = system.schedule(),
                           .stages = run.memory,
                           .passes = spans,
                           .device_capacity = usable,
                           .host_capacity = host,
                           .optimizer_on_host = system.workload().optimizer.offload});
}

Bytes bytes_of(const MemoryPeak& peak, MemoryKind kind) {
  return Bytes(static_cast<double>(peak.level.by_kind.at(static_cast<std::size_t>(kind))));
}

void add_stages(const TrainingRun& run, TrainingReport& report) {
  const TrainingSystem& system = *run.system;
  const TimeUse use = time_use(run.graph.step, run.result);
  const MemoryLedger ledger = ledger_of(run, report.usable);
  const std::size_t per_stage =
      use.devices.size() / static_cast<std::size_t>(system.schedule().stages());
  for (int s = 0; s < system.schedule().stages(); ++s) {
    const auto i = static_cast<std::size_t>(s);
    StageReport& stage = report.stages.emplace_back();
    stage.stage = s;
    for (const std::int32_t part : system.schedule().part[i]) {
      stage.layers += system.parts()[static_cast<std::size_t>(part)].layers;
    }
    stage.memory = run.memory[i];
    const MemoryPeak peak = ledger.peak(s, 0);
    stage.activations = bytes_of(peak, MemoryKind::activations);
    stage.transient = bytes_of(peak, MemoryKind::transient);
    stage.peak = Bytes(static_cast<double>(peak.level.total()));
    stage.peak_at_s = peak.level.time.si();
    stage.peak_micro_batch = peak.cause.micro_batch;
    stage.shortfall = Bytes(static_cast<double>(peak.shortfall()));
    for (std::size_t d = i * per_stage; d < (i + 1) * per_stage; ++d) {
      stage.busy_s += use.devices[d].busy_s / static_cast<double>(per_stage);
      stage.idle_s += use.devices[d].idle_s / static_cast<double>(per_stage);
    }
  }
}

void note_use(const LoweredStep& step, LawReport& row) {
  const auto use = std::ranges::find(step.families, row.family, &FamilyUse::name);
  if (use != step.families.end()) {
    row.use = *use;
  }
}

LawReport law_of(const TrainingRun& run, const std::string& family) {
  const auto derived = run.graph.derived.find(family);
  const bool stands_in = derived != run.graph.derived.end();
  LawReport row;
  const auto p = run.system->kernels().provenance(stands_in ? derived->second : family);
  if (!p) {
    return row;
  }
  row.family = family;
  row.profile = p->profile;
  row.basis = stands_in ? "derived" : std::string(name_of(p->basis));
  row.source = p->source;
  row.date = p->date;
  row.kernel_source = p->kernel_source;
  row.law = p->law;
  row.wish_granted = p->wish_granted;
  if (p->basis != Basis::uncalibrated && !stands_in) {
    row.median_error = p->median_error;
    row.p90_error = p->p90_error;
    row.transfer_sigma = p->transfer_sigma;
  }
  note_use(run.graph.step, row);
  return row;
}

void add_laws(const TrainingRun& run, TrainingReport& report) {
  std::set<std::string> names;
  for (const FamilyUse& use : run.graph.step.families) {
    names.insert(use.name);
  }
  SharedErrors shared{.transfers = {}, .deployment = k_deployment_sigma};
  for (const std::string& name : names) {
    LawReport row = law_of(run, name);
    if (row.family.empty()) {
      continue;
    }
    if (row.transfer_sigma > 0) {
      shared.transfers.push_back({row.family, row.profile, row.transfer_sigma});
    }
    if (row.basis == "derived") {
      report.warnings.push_back(row.family +
                                ": no law of backward kernels; FLOPs and bytes at the rate of "
                                "the forward law");
    } else if (row.basis == "uncalibrated") {
      report.warnings.push_back(row.family + ": uncalibrated, nominal rates of the data sheet");
    }
    report.kernels.push_back(std::move(row));
  }
  for (const CommProvenance& law : run.graph.laws) {
    LawReport& row = report.communication.emplace_back();
    row.family = law.family;
    row.profile = law.profile;
    row.basis = name_of(law.basis);
    row.source = law.fit.source;
    row.date = law.fit.date;
    row.library = law.library;
    if (law.basis != CommBasis::uncalibrated) {
      row.median_error = law.fit.median_error;
      row.p90_error = law.fit.p90_error;
    }
    note_use(run.graph.step, row);
  }
  report.uncertainty = propagate_uncertainty(run.graph.step, run.result, shared);
}

// As in steps: TDP while kernels run, idle power otherwise, and the links' bytes.
double energy(const TrainingRun& run, const TrainingReport& report) {
  const Device& device = run.system->cluster().node.device;
  return report.devices * (device.idle.si() * report.step_s +
                           (device.tdp - device.idle).si() * report.mean.kernels_s) +
         run.graph.link_joules;
}

}  // namespace

Bytes TrainingReport::peak_memory() const {
  Bytes peak;
  for (const StageReport& stage : stages) {
    peak = std::max(peak, stage.peak);
  }
  return peak;
}

Bytes TrainingReport::shortfall() const { return std::max(Bytes(0.0), peak_memory() - usable); }

double TrainingReport::exposed_communication_s() const {
  double seconds = 0.0;
  for (std::size_t c = 0; c < k_categories; ++c) {
    seconds += is_communication(static_cast<Category>(c)) ? mean.busy_s[c] : 0.0;
  }
  return seconds;
}

TrainingReport training_report(const TrainingRun& run) {
  const TrainingSystem& system = *run.system;
  const Device& device = system.cluster().node.device;
  TrainingReport report;
  report.step_s = run.result.makespan_s;
  report.tokens = static_cast<double>(system.workload().global_batch) *
                  static_cast<double>(system.workload().sequence);
  report.devices = system.cluster().devices();
  report.simulated_devices = run.graph.step.devices;
  report.model_flops = run.graph.model_flops;
  report.hardware_flops = run.graph.hardware_flops;
  report.peak_format = system.precision().expert_gemm;
  if (peak_of(device, report.peak_format) <= 0) {
    report.peak_format = DType::bf16;
  }
  report.peak_flops_per_s = peak_of(device, report.peak_format);
  report.bf16_flops_per_s = peak_of(device, DType::bf16);
  report.mean = mean_device(run.graph.step, run.result);
  report.bubble_fraction = report.step_s > 0 ? report.mean.waiting_s / report.step_s : 0.0;
  report.max_over_mean = run.graph.max_over_mean;
  report.dropped_share = run.graph.dropped_share;
  report.capacity = device.memory.capacity;
  report.usable = device.memory.capacity * system.cluster().usable_memory;
  report.critical = breakdown(run.graph.step, run.result);
  report.energy_j = energy(run, report);
  report.cost_usd = device.price.si() * report.devices * report.step_s;
  report.warnings = system.scenario().base.warnings;
  report.megatron_arguments = megatron_layout_arguments(system.parallelism(), system.workload());
  report.routing = system.routing() != nullptr ? system.routing()->describe() + ", expected counts"
                                               : "forced balance: every expert as often";
  add_stages(run, report);
  add_laws(run, report);
  constexpr double even = 1.001;
  if (report.max_over_mean > even) {
    report.warnings.push_back(
        "memory counts experts' rows as if they were spread evenly; the "
        "busiest rank holds " +
        std::to_string(report.max_over_mean) + " times as many");
  }
  if (!report.fits()) {
    constexpr double gigabyte = 1e9;
    report.warnings.push_back(
        "does not fit: " + std::to_string(report.shortfall().si() / gigabyte) +
        " GB short on the fullest stage; times are what they would be");
  }
  return report;
}

}  // namespace moesim
