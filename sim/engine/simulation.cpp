#include "sim/engine/simulation.h"

#include <algorithm>
#include <chrono>

#include "sim/core/error.h"
#include "sim/core/quantity_text.h"
#include "sim/core/rng.h"
#include "sim/engine/device_peaks.h"
#include "sim/engine/kernel_binding.h"
#include "sim/engine/resident_traffic.h"

namespace moesim {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

RouterSpec router_of(const RoutingShape& shape) {
  return {.layers = static_cast<int>(shape.layers),
          .experts = static_cast<int>(shape.experts),
          .top_k = static_cast<int>(shape.top_k),
          .groups = static_cast<int>(shape.groups),
          .top_groups = static_cast<int>(shape.top_groups),
          .per_group_k = static_cast<int>(shape.per_group_k)};
}

}  // namespace

Simulation::Simulation(Scenario scenario, const Library& library, int threads)
    : scenario_(std::move(scenario)), threads_(threads) {
  const auto start = std::chrono::steady_clock::now();
  const std::string& where = scenario_.where;
  nlohmann::json& effective = scenario_.effective;
  // References give way to what they stand for, so that a run can be repeated from its report.
  const auto cluster = library.cluster(scenario_.hardware, where + "/hardware");
  const auto model = library.model(scenario_.model, where + "/model");
  effective["hardware"] = *cluster->effective;
  effective["model"] = *model->effective;
  cluster_ = cluster->cluster;
  topology_ = std::make_unique<Topology>(cluster_);
  model_ = model->model;
  routing_shape_ = routing_shape(model_);
  check_ranks();
  check_formats();
  check_residency();
  check_link_rate();
  kernels_ = library.kernels(peaks_of(cluster_.node.device), scenario_.policy.kernels,
                             where + "/policy/kernels");
  bind_kernels(*kernels_, model_, scenario_.workload, scenario_.policy.precision);
  comm_profiles_ = library.comm_profiles();
  check_collectives();
  groups_ = expert_groups(scenario_.parallelism, scenario_.workload, where + "/parallelism");
  if (routing_shape_.top_k > 0) {
    prepare_experts(library);
  }
  host_.load_s = seconds_since(start) - host_.placement_s;
}

void Simulation::check_ranks() const {
  const std::string& where = scenario_.where;
  const Parallelism& p = scenario_.parallelism;
  if (p.ranks() != cluster_.devices()) {
    throw ConfigError(where + "/parallelism",
                      "tp * dp = " + std::to_string(p.ranks()) + " ranks on " +
                          std::to_string(cluster_.devices()) +
                          " devices; every device holds one rank (see hardware/nodes)");
  }
  if (p.attention_tp > cluster_.node.devices) {
    throw ConfigError(where + "/parallelism/attention/tp",
                      std::to_string(p.attention_tp) + " ranks do not fit in a node of " +
                          std::to_string(cluster_.node.devices) +
                          " devices; tensor parallelism stays in a node");
  }
  check_tensor_parallel(model_,
                        {.attention = p.attention_tp,
                         .dense = p.attention_tp,
                         .shared = p.attention_tp,
                         .expert = p.expert_tp,
                         .vocabulary = p.attention_tp},
                        where + "/parallelism");
  for (const Block& block : model_.blocks) {
    if (block.stack == Stack::encoder) {
      throw ConfigError(where + "/model", "\"" + model_.name +
                                              "\" has an encoder; steps of decoder-only models can "
                                              "be simulated");
    }
  }
  const int slots =
      static_cast<int>(routing_shape_.ffn_experts) + scenario_.placement.redundant_experts;
  if (routing_shape_.top_k == 0 && (p.expert_ep > 1 || scenario_.placement.redundant_experts > 0)) {
    throw ConfigError(where + "/parallelism/experts",
                      "\"" + model_.name + "\" has no routed experts; use ep 1 and no redundancy");
  }
  if (routing_shape_.top_k > 0 && slots < p.expert_ep) {
    throw ConfigError(where + "/parallelism/experts/ep",
                      std::to_string(p.expert_ep) + " expert ranks for " + std::to_string(slots) +
                          " expert slots leave ranks without an expert; lower ep or add "
                          "placement/redundant_experts");
  }
}

// All-to-all kernels see nodes that hold equally many ranks of a group.
void Simulation::check_expert_groups() const {
  const Parallelism& p = scenario_.parallelism;
  const int group = p.expert_ep * p.expert_tp;
  const int node = cluster_.node.devices;
  if (group % node != 0 && node % group != 0) {
    throw ConfigError(scenario_.where + "/parallelism/experts/ep",
                      "expert groups of ep * etp = " + std::to_string(group) +
                          " ranks do not sit evenly on nodes of " + std::to_string(node) +
                          " devices; use a multiple or a divisor of that");
  }
}

void Simulation::check_formats() const {
  const OpPrecision& precision = scenario_.policy.precision;
  const Device& device = cluster_.node.device;
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

// Prompts are processed by every rank beforehand (ExFlow), and a token's slices cannot rest apart.
// The rate stands for what a library reaches of the link: never more than all of it.
void Simulation::check_link_rate() const {
  const Bandwidth rate = scenario_.policy.all_to_all_link_rate;
  const Bandwidth link = cluster_.node.device_link.bandwidth;
  if (cluster_.node.devices > 1 && rate > link) {
    throw ConfigError(
        scenario_.where + "/policy/all_to_all_link_rate",
        format_quantity(rate) + " is more than the device link's " + format_quantity(link));
  }
}

void Simulation::check_collectives() const {
  for (const auto& [operation, name] : scenario_.policy.collectives) {
    const auto known = collective_libraries(*comm_profiles_);
    const bool exists = std::ranges::any_of(
        known, [&](const std::string& library) { return is_of_library(library, name); });
    if (name != k_auto_library && !exists) {
      throw ConfigError(scenario_.where + "/policy/collectives",
                        "no communication profile is of \"" + name +
                            "\"; there are: auto, " + joined(known));
    }
  }
}

void Simulation::check_residency() const {
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
}

// Counts of a layer are 32-bit, and every routed token is held in memory for all layers.
void Simulation::check_routing_size() const {
  const Workload& workload = scenario_.workload;
  const double ranks = scenario_.parallelism.attention_dp;
  const auto top_k = static_cast<double>(routing_shape_.top_k);
  const double pairs = ranks * static_cast<double>(workload.tokens()) * top_k;
  if (pairs >= 0x1p31) {
    throw ConfigError(scenario_.where + "/workload",
                      format_number(pairs) +
                          " (token, expert) pairs per layer are more than 2^31; "
                          "use fewer tokens per rank or fewer ranks");
  }
  const auto routed = static_cast<double>(workload.routing_sample > 0 ? workload.routing_sample
                                                                      : workload.tokens());
  const double bytes =
      ranks * routed * top_k * static_cast<double>(routing_shape_.layers) * sizeof(std::uint16_t);
  constexpr double most = 8e9;
  if (bytes > most) {
    throw ConfigError(scenario_.where + "/workload",
                      "routing every token takes " + format_number(bytes / 1e9) +
                          " GB; use fewer tokens per rank, or routing_sample for prefill");
  }
}

void Simulation::prepare_experts(const Library& library) {
  check_expert_groups();
  check_routing_size();
  routing_ = library.routing(scenario_.workload.routing, router_of(routing_shape_),
                             scenario_.where + "/workload/routing");
  const auto start = std::chrono::steady_clock::now();
  use_placement(place_experts());
  host_.placement_s = seconds_since(start);
}

void Simulation::use_placement(ExpertPlacement placement) {
  ensure(placement.devices == groups_.units && placement.experts == routing_shape_.ffn_experts &&
             placement.slot_expert.size() == static_cast<std::size_t>(routing_shape_.layers),
         "a placement has the scenario's ranks, experts and layers");
  check_placement(placement);
  placement_ = std::move(placement);
  const AllToAllLowering exchange =
      make_all_to_all(*topology_, *comm_profiles_, comm_target(), model_, scenario_.policy, groups_,
                      0, placement_.slots(), static_cast<int>(routing_shape_.top_k));
  node_of_unit_ = exchange.node_of_rank();
  needs_distinct_ = exchange.algorithm().needs_distinct;
}

CommTarget Simulation::comm_target() const {
  const Device& device = cluster_.node.device;
  return {.device = device.name,
          .architecture = device.architecture,
          .device_link = cluster_.node.device_link.bandwidth,
          .same_architecture_only = device.kind != DeviceKind::gpu};
}

Workload Simulation::workload_of_step(int index) const {
  Workload workload = scenario_.workload;
  if (workload.decode_requests > 0) {
    workload.context += index;
  }
  return workload;
}

LoweringInput Simulation::lowering_input(const Workload& workload) const {
  return {.topology = *topology_,
          .model = model_,
          .kernels = *kernels_,
          .comm_profiles = *comm_profiles_,
          .comm_target = comm_target(),
          .workload = workload,
          .parallelism = scenario_.parallelism,
          .policy = scenario_.policy,
          .groups = groups_,
          .placement = placement_,
          .traffic = traffic_};
}

StepOutcome Simulation::run_step(int index, const Backend& backend, bool record_segments) {
  return run(workload_of_step(index), mix64(scenario_.seed + static_cast<std::uint64_t>(index)),
             backend, record_segments);
}

StepOutcome Simulation::run_batch(std::uint64_t routing_seed, const Backend& backend) {
  return run(scenario_.workload, routing_seed, backend, false);
}

StepOutcome Simulation::run(const Workload& workload, std::uint64_t routing_seed,
                            const Backend& backend, bool record_segments) {
  auto start = std::chrono::steady_clock::now();
  if (routing_) {
    const auto count =
        scenario_.policy.residency == TokenResidency::home ? count_step : count_resident_step;
    traffic_ = count(*routing_, workload, scenario_.parallelism, groups_, placement_, node_of_unit_,
                     static_cast<int>(routing_shape_.ffn_experts), needs_distinct_, routing_seed,
                     threads_);
  }
  host_.routing_s += seconds_since(start);
  start = std::chrono::steady_clock::now();
  StepOutcome outcome;
  outcome.lowered = lower_step(lowering_input(workload));
  outcome.result = backend.run(outcome.lowered.graph, record_segments);
  host_.engine_s = seconds_since(start);
  host_.events = outcome.result.events;
  host_.tasks = outcome.lowered.graph.tasks().size();
  return outcome;
}

MemoryUse Simulation::memory() const {
  return memory_use(cluster_, model_, workload_of_step(scenario_.run.steps - 1),
                    scenario_.parallelism, scenario_.policy, groups_, placement_, traffic_,
                    node_of_unit_);
}

std::vector<CommProvenance> Simulation::communication() const {
  return comm_provenance(lowering_input(scenario_.workload));
}

std::vector<std::string> Simulation::routing_notes() const {
  return routing_
             ? routing_warnings(*routing_, scenario_.workload, scenario_.parallelism.attention_dp)
             : std::vector<std::string>{};
}

}  // namespace moesim
