#include "sim/engine/system.h"

#include <algorithm>
#include <cmath>

#include "models/comm/all_to_all_variants.h"
#include "sim/core/error.h"
#include "sim/core/quantity_text.h"
#include "sim/engine/device_peaks.h"
#include "sim/engine/exchange/all_to_all.h"
#include "sim/engine/kernel_binding.h"
#include "sim/engine/lowering/step_work.h"

namespace moesim {
namespace {

RouterSpec router_of(const RoutingShape& shape) {
  return {.layers = static_cast<int>(shape.layers),
          .experts = static_cast<int>(shape.experts),
          .top_k = static_cast<int>(shape.top_k),
          .groups = static_cast<int>(shape.groups),
          .top_groups = static_cast<int>(shape.top_groups),
          .per_group_k = static_cast<int>(shape.per_group_k)};
}

}  // namespace

System::System(Scenario scenario, const Library& library)
    : scenario_(std::move(scenario)),
      ranks_(scenario_.parallelism, scenario_.parallelism.ranks()),
      first_batch_(batch(0)) {
  const std::string& where = scenario_.where;
  // References give way to what they stand for, so that a run can be repeated from its report.
  cluster_ = library.cluster(scenario_.hardware, where + "/hardware");
  scenario_.effective["hardware"] = *cluster_->effective;
  scenario_.warnings.insert(scenario_.warnings.end(), cluster_->warnings.begin(),
                            cluster_->warnings.end());
  topology_ = std::make_shared<Topology>(cluster());
  model_ = library.model(scenario_.model, where + "/model");
  scenario_.effective["model"] = *model_->effective;
  routing_shape_ = moesim::routing_shape(model());
  check_ranks();
  check_batches();
  check_formats();
  check_residency();
  check_overlap();
  check_link_rate();
  scenario_.policy.cuda_graphs = scenario_.policy.captures(first_batch_);
  scenario_.effective["policy"]["cuda_graphs"] = *scenario_.policy.cuda_graphs;
  KernelWishes wishes = scenario_.policy.kernels;
  wishes.captured = *scenario_.policy.cuda_graphs;
  kernels_ = library.kernels(peaks_of(cluster().node.device), wishes, where + "/policy/kernels");
  bind_kernels(*kernels_, model(), first_batch_, scenario_.policy.precision,
               expert_layout(scenario_.policy.all_to_all, ranks_.units()));
  comm_profiles_ = library.comm_profiles();
  placements_ = library.placements();
  check_collectives();
  check_all_to_all();
  if (has_experts()) {
    check_expert_groups();
    check_routing_size();
    routing_ = library.routing(scenario_.workload.routing, router_of(routing_shape_),
                               where + "/workload/routing");
  }
}

StepBatch System::batch(int index) const {
  return scenario_.workload.batch(ranks_.attention_ranks(), index);
}

CommTarget System::comm_target() const {
  const Device& device = cluster().node.device;
  return {.device = device.name,
          .architecture = device.architecture,
          .device_link = cluster().node.device_link.bandwidth,
          .nic = cluster().node.nic_link.name,
          .same_architecture_only = device.kind != DeviceKind::gpu};
}

void System::check_ranks() const {
  const std::string& where = scenario_.where;
  const Parallelism& p = scenario_.parallelism;
  if (p.ranks() != cluster().devices()) {
    throw ConfigError(where + "/parallelism",
                      "tp * dp = " + std::to_string(p.ranks()) + " ranks on " +
                          std::to_string(cluster().devices()) +
                          " devices; every device holds one rank (see hardware/nodes)");
  }
  if (p.attention_tp > cluster().node.devices) {
    throw ConfigError(where + "/parallelism/attention/tp",
                      std::to_string(p.attention_tp) + " ranks do not fit in a node of " +
                          std::to_string(cluster().node.devices) +
                          " devices; tensor parallelism stays in a node");
  }
  check_tensor_parallel(model(),
                        {.attention = p.attention_tp,
                         .dense = p.attention_tp,
                         .shared = p.attention_tp,
                         .expert = p.expert_tp,
                         .vocabulary = p.attention_tp},
                        where + "/parallelism");
  for (const Block& block : model().blocks) {
    if (block.stack == Stack::encoder) {
      throw ConfigError(where + "/model", "\"" + model().name +
                                              "\" has an encoder; steps of decoder-only models can "
                                              "be simulated");
    }
  }
  const int slots =
      static_cast<int>(routing_shape_.ffn_experts) + scenario_.placement.redundant_experts;
  if (routing_shape_.top_k == 0 && (p.expert_ep > 1 || scenario_.placement.redundant_experts > 0)) {
    throw ConfigError(where + "/parallelism/experts",
                      "\"" + model().name + "\" has no routed experts; use ep 1 and no redundancy");
  }
  if (routing_shape_.top_k > 0 && slots < p.expert_ep) {
    throw ConfigError(where + "/parallelism/experts/ep",
                      std::to_string(p.expert_ep) + " expert ranks for " + std::to_string(slots) +
                          " expert slots leave ranks without an expert; lower ep or add "
                          "placement/redundant_experts");
  }
}

// All-to-all kernels see nodes that hold equally many ranks of a group.
void System::check_expert_groups() const {
  const Parallelism& p = scenario_.parallelism;
  const int group = p.expert_ep * p.expert_tp;
  const int node = cluster().node.devices;
  if (group % node != 0 && node % group != 0) {
    throw ConfigError(scenario_.where + "/parallelism/experts/ep",
                      "expert groups of ep * etp = " + std::to_string(group) +
                          " ranks do not sit evenly on nodes of " + std::to_string(node) +
                          " devices; use a multiple or a divisor of that");
  }
}

void System::check_formats() const {
  const OpPrecision& precision = scenario_.policy.precision;
  const Device& device = cluster().node.device;
  for (const DType dtype : {precision.attention_gemm, precision.ffn_gemm, precision.expert_gemm,
                            precision.attention, precision.router, precision.head}) {
    if (!device.peak.contains(peak_class(dtype))) {
      std::vector<std::string_view> known;
      for (const auto& [format, rate] : device.peak) {
        known.push_back(name_of(format));
      }
      throw ConfigError(scenario_.where + "/policy/precision",
                        device.name + " does not compute in " + std::string(name_of(dtype)) +
                            "; it has: " + joined(known));
    }
  }
}

void System::check_collectives() const {
  const auto known = collective_libraries(*comm_profiles_);
  const std::string where = scenario_.where + "/policy/collectives";
  const bool one_for_all = scenario_.effective["policy"]["collectives"].is_string();
  for (const auto& [operation, name] : scenario_.policy.collectives) {
    const bool exists = std::ranges::any_of(
        known, [&](const std::string& library) { return is_of_library(library, name); });
    if (name != k_auto_library && !exists) {
      throw ConfigError(
          one_for_all ? where : where + "/" + operation,
          "no communication profile is of \"" + name +
              "\"; auto, or what one of these begins with, letter case aside: " + joined(known));
    }
  }
}

// Of a variant of an algorithm somebody must have measured one.
void System::check_all_to_all() const {
  const std::string& name = scenario_.policy.all_to_all;
  if (name.find('.') == std::string::npos) {
    return;
  }
  const auto known = all_to_all_variants(*comm_profiles_, name.substr(0, name.find('.')));
  const bool exists = std::ranges::any_of(known, [&name](const std::string& variant) {
    return variant == name || variant.starts_with(name + ".");
  });
  if (!exists) {
    throw ConfigError(scenario_.where + "/policy/all_to_all",
                      "no communication profile is of \"" + name +
                          "\"; variants there are: " + (known.empty() ? "none" : joined(known)));
  }
}

// The rate stands for what a library reaches of the link: never more than all of it.
void System::check_link_rate() const {
  const Bandwidth rate = scenario_.policy.all_to_all_link_rate;
  const Bandwidth link = cluster().node.device_link.bandwidth;
  if (cluster().node.devices > 1 && rate > link) {
    throw ConfigError(
        scenario_.where + "/policy/all_to_all_link_rate",
        format_quantity(rate) + " is more than the device link's " + format_quantity(link));
  }
}

// Prompts are processed by every rank beforehand (ExFlow), and a token's slices cannot rest apart.
void System::check_residency() const {
  if (scenario_.policy.residency == TokenResidency::home) {
    return;
  }
  const std::string where = scenario_.where + "/policy/token_residency";
  if (scenario_.workload.kind != StepKind::decode) {
    throw ConfigError(where, "last_expert describes decode steps; set /workload/kind to decode");
  }
  if (scenario_.parallelism.attention_tp > 1) {
    throw ConfigError(where, "last_expert needs attention tp 1, not " +
                                 std::to_string(scenario_.parallelism.attention_tp) +
                                 ": a token rests on one rank");
  }
  if (scenario_.run.routing == RoutingUse::expected) {
    throw ConfigError(scenario_.where + "/run/routing",
                      "expected counts have no tokens that could stay with their experts "
                      "(policy/token_residency last_expert); use tokens");
  }
}

void System::check_batches() const {
  const Workload& workload = scenario_.workload;
  const auto ranks = static_cast<std::size_t>(ranks_.attention_ranks());
  if (workload.kind == StepKind::batches && workload.batches.size() != ranks) {
    throw ConfigError(scenario_.where + "/workload/ranks",
                      std::to_string(workload.batches.size()) + " ranks' batches for " +
                          std::to_string(ranks) + " attention data-parallel ranks");
  }
  if (first_batch_.tokens() == 0) {
    throw ConfigError(scenario_.where + "/workload/ranks", "every rank is idle; a step has tokens");
  }
}

void System::check_overlap() const {
  const std::string where = scenario_.where + "/policy/overlap";
  const std::string& name = scenario_.policy.overlap;
  const OverlapEntry& overlap = find_overlap(name, where);
  const bool cuts = overlap.micro_batches > 1 || overlap.parts != PartRule::whole;
  if (cuts && scenario_.policy.residency == TokenResidency::last_expert) {
    throw ConfigError(where, name +
                                 " cuts the batch, but with token_residency last_expert tokens "
                                 "leave their rank; use none");
  }
  if (overlap.needs_shortcut && shortcut_layers(model()) == 0) {
    throw ConfigError(where, "the experts of \"" + model().name +
                                 "\" are waited for at once (no block has a shortcut), so that " +
                                 name + " changes nothing; use shared_expert or two_batch");
  }
  if (overlap.gathers_in_units && scenario_.parallelism.expert_tp == 1) {
    throw ConfigError(where, name +
                                 " gathers what slices of an expert received, but experts are "
                                 "whole (parallelism/experts/etp is 1); use chunked");
  }
  const bool rows_travel = find_all_to_all_algorithm(scenario_.policy.all_to_all, where).received !=
                           ReceivedRows::all_tokens;
  const bool needs_rows = overlap.parts == PartRule::sources || overlap.gathers_in_units;
  if (needs_rows && !rows_travel) {
    throw ConfigError(where, name +
                                 " needs an all-to-all that sends tokens to their experts, not " +
                                 scenario_.policy.all_to_all + "; use deepep_low_latency");
  }
}

double System::routed_tokens() const {
  if (!has_experts() || scenario_.run.routing == RoutingUse::expected) {
    return 0.0;
  }
  const StepBatch& whole = first_batch_;
  return static_cast<double>(whole.routing_sample > 0 ? whole.routing_sample * whole.ranks()
                                                      : whole.tokens());
}

std::string System::drawing_note() const {
  constexpr double many = 2e8;  // (token, expert) pairs: some 5 to 10 seconds on one core
  const double pairs = routed_tokens() * static_cast<double>(routing_shape_.top_k) *
                       static_cast<double>(routing_shape_.layers) * scenario_.run.steps;
  if (pairs < many) {
    return "";
  }
  constexpr double million = 1e6;
  return "routing " + format_number(std::round(pairs / million)) +
         " million (token, expert) pairs one by one; /run/routing=expected counts them without "
         "drawing any" +
         (scenario_.workload.kind == StepKind::prefill ? ", /workload/routing_sample draws fewer"
                                                       : "");
}

// Counts of a layer are 32-bit, and every routed token is held in memory for all layers.
void System::check_routing_size() const {
  const StepBatch& whole = first_batch_;
  const auto top_k = static_cast<double>(routing_shape_.top_k);
  const double pairs = static_cast<double>(whole.tokens()) * top_k;
  if (pairs >= 0x1p31) {
    throw ConfigError(scenario_.where + "/workload",
                      format_number(pairs) +
                          " (token, expert) pairs per layer are more than 2^31; "
                          "use fewer tokens per rank or fewer ranks");
  }
  if (scenario_.run.routing == RoutingUse::expected) {
    return;
  }
  const double bytes =
      routed_tokens() * top_k * static_cast<double>(routing_shape_.layers) * sizeof(std::uint16_t);
  constexpr double most = 8e9;
  if (bytes > most) {
    throw ConfigError(scenario_.where + "/workload",
                      "routing every token takes " + format_number(bytes / 1e9) +
                          " GB; use fewer tokens per rank, or routing_sample for prefill");
  }
}

}  // namespace moesim
