#include "sim/engine/results/metrics.h"

#include <algorithm>
#include <numeric>

#include "sim/engine/results/critical_path.h"

namespace moesim {
namespace {

double peak_of(const Device& device, DType dtype) {
  const auto found = device.peak.find(peak_class(dtype));
  return found == device.peak.end() ? 0.0 : found->second.si();
}

// The format whose peak MFU is measured against: that of most FLOPs. Weight-only formats multiply
// in bf16.
double reference_peak(const Device& device, const OpPrecision& precision) {
  const double peak = peak_of(device, precision.expert_gemm);
  return peak > 0 ? peak : peak_of(device, DType::bf16);
}

// Devices draw TDP while they run kernels and idle power while they wait; links add their energy
// per byte. A first estimate: no measurement backs it.
double energy(const Simulation& simulation, const StepOutcome& step, const MeanDevice& mean) {
  const Device& device = simulation.cluster().node.device;
  const double devices = step.lowered.devices;
  double joules = devices * (device.idle.si() * step.result.makespan_s +
                             (device.tdp - device.idle).si() * mean.kernels_s);
  const auto& links = simulation.topology().links();
  for (std::size_t l = 0; l < links.size(); ++l) {
    joules += links[l].joules_per_byte * step.lowered.link_bytes[l];
  }
  return joules;
}

}  // namespace

std::vector<LinkUse> link_use(const Topology& topology, const StepOutcome& step) {
  std::vector<LinkUse> uses;
  const auto& links = topology.links();
  for (std::size_t l = 0; l < links.size(); ++l) {
    auto use = std::ranges::find(uses, links[l].kind, &LinkUse::kind);
    if (use == uses.end()) {
      LinkUse fresh;
      fresh.kind = links[l].kind;
      uses.push_back(fresh);
      use = uses.end() - 1;
    }
    const double utilisation =
        step.result.makespan_s > 0
            ? step.lowered.link_busy_bytes[l] / (links[l].bandwidth.si() * step.result.makespan_s)
            : 0.0;
    if (use->count == 0 || utilisation > use->max_utilisation) {
      use->max_utilisation = utilisation;
      use->busiest = links[l].name;
    }
    use->bytes += step.lowered.link_bytes[l];
    use->mean_utilisation += utilisation;
    ++use->count;
  }
  for (LinkUse& use : uses) {
    use.mean_utilisation /= use.count;
  }
  return uses;
}

StepMetrics step_metrics(const Simulation& simulation, const std::vector<double>& steps,
                         const StepOutcome& last) {
  StepMetrics metrics;
  const LoweredStep& lowered = last.lowered;
  metrics.mean_device = mean_device(lowered, last.result);
  const Device& device = simulation.cluster().node.device;
  const double makespan = last.result.makespan_s;
  metrics.step_s =
      std::accumulate(steps.begin(), steps.end(), 0.0) / static_cast<double>(steps.size());
  if (makespan > 0) {
    const double device_s = lowered.devices * makespan;
    metrics.mfu =
        lowered.flops / (device_s * reference_peak(device, simulation.scenario().policy.precision));
    metrics.mbu = lowered.memory_bytes / (device_s * device.memory.read.si());
    metrics.bubble_fraction = metrics.mean_device.waiting_s / makespan;
  }
  const auto path = breakdown(lowered, last.result);
  for (std::size_t c = 0; c < k_categories; ++c) {
    metrics.exposed_communication_s += is_communication(static_cast<Category>(c)) ? path[c] : 0.0;
  }
  double far = 0.0;
  double remote = 0.0;
  double pairs = 0.0;
  for (const LayerLoad& layer : lowered.moe_layers) {
    metrics.max_over_mean +=
        (layer.max_over_mean - 1.0) / static_cast<double>(lowered.moe_layers.size());
    far += layer.tokens_sent_far;
    remote += layer.tokens_sent;
    pairs += layer.pairs;
  }
  metrics.remote_ratio = pairs > 0 ? remote / pairs : 0.0;
  metrics.cross_node_ratio = pairs > 0 ? far / pairs : 0.0;
  metrics.token_transfers = lowered.token_transfers;
  metrics.energy_j = energy(simulation, last, metrics.mean_device);
  metrics.cost_usd = device.price.si() * lowered.devices * metrics.step_s;
  return metrics;
}

}  // namespace moesim
