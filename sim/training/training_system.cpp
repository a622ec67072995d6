#include "sim/training/training_system.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/engine/device_peaks.h"
#include "sim/engine/exchange/all_to_all.h"

namespace moesim {
namespace {

// Prediction modules are the model's, but only those that the workload trains run.
nlohmann::json with_mtp(const nlohmann::json& model, int layers) {
  if (layers == 0) {
    return model;
  }
  nlohmann::json reference = model.is_object() ? model : nlohmann::json{{"model", model}};
  reference["mtp_layers"] = layers;
  return reference;
}

std::string number(std::int64_t value) { return std::to_string(value); }

}  // namespace

TrainingSystem::TrainingSystem(TrainScenario scenario, const Library& library)
    : scenario_(std::move(scenario)),
      ranks_(scenario_.base.parallelism, scenario_.base.parallelism.ranks()) {
  Scenario& base = scenario_.base;
  cluster_ = library.cluster(base.hardware, base.where + "/hardware");
  base.effective["hardware"] = *cluster_->effective;
  base.warnings.insert(base.warnings.end(), cluster_->warnings.begin(), cluster_->warnings.end());
  topology_ = std::make_shared<Topology>(cluster());
  model_ = library.model(with_mtp(base.model, workload().mtp_layers), base.where + "/model");
  base.effective["model"] = *model_->effective;
  // Keys and values stay as they are computed: there is no cache.
  base.policy.precision.kv = base.policy.precision.activation;
  check_ranks();
  check_batches();
  check_model();
  check_experts();
  check_formats();
  kernels_ = library.kernels(peaks_of(cluster().node.device), base.policy.kernels,
                             base.where + "/policy/kernels");
  comm_profiles_ = library.comm_profiles();
  find_routing(library);
  cut_model();
}

void TrainingSystem::find_routing(const Library& library) {
  const RoutingShape shape = routing_shape(model());
  if (shape.top_k == 0 || workload().routing == TrainRouting::forced_balance) {
    return;
  }
  routing_ = library.routing(scenario_.routing,
                             {.layers = static_cast<int>(shape.layers),
                              .experts = static_cast<int>(shape.experts),
                              .top_k = static_cast<int>(shape.top_k),
                              .groups = static_cast<int>(shape.groups),
                              .top_groups = static_cast<int>(shape.top_groups),
                              .per_group_k = static_cast<int>(shape.per_group_k)},
                             scenario_.base.where + "/workload/routing");
}

void TrainingSystem::cut_model() {
  const Parallelism& p = parallelism();
  const std::string where = scenario_.base.where + "/policy/pipeline";
  schedule_ = find_pipeline(scenario_.policy.pipeline, where)
                  .make({.stages = p.pp,
                         .chunks = p.vpp,
                         .micro_batches = micro_batches(),
                         .pairs = scenario_.policy.pairs_passes},
                        where);
  check_pipeline(schedule_);
  std::int32_t parts = 0;
  for (const auto& chunks : schedule_.part) {
    for (const std::int32_t part : chunks) {
      parts = std::max(parts, part + 1);
    }
  }
  parts_ = split_model(model(), parts, scenario_.policy.layers, where);
}

int TrainingSystem::micro_batches() const {
  return static_cast<int>(workload().global_batch /
                          (workload().micro_batch * parallelism().attention_dp));
}

std::int64_t TrainingSystem::tokens() const {
  return workload().micro_batch * workload().sequence / parallelism().attention_cp;
}

CommTarget TrainingSystem::comm_target() const {
  const Device& device = cluster().node.device;
  return {.device = device.name,
          .architecture = device.architecture,
          .device_link = cluster().node.device_link.bandwidth,
          .nic = cluster().node.nic_link.name,
          .same_architecture_only = device.kind != DeviceKind::gpu};
}

void TrainingSystem::check_ranks() const {
  const std::string where = scenario_.base.where + "/parallelism";
  const Parallelism& p = parallelism();
  if (p.ranks() != cluster().devices()) {
    throw ConfigError(where, "tp * cp * dp * pp = " + number(p.ranks()) + " ranks on " +
                                 number(cluster().devices()) +
                                 " devices; every device holds one rank (see hardware/nodes)");
  }
  if (std::max(p.attention_tp, p.expert_tp) > cluster().node.devices) {
    throw ConfigError(where, "tensor parallelism over more ranks than the " +
                                 number(cluster().node.devices) +
                                 " devices of a node; it stays in a node");
  }
}

void TrainingSystem::check_batches() const {
  const std::string where = scenario_.base.where + "/workload";
  const Parallelism& p = parallelism();
  const std::int64_t together = workload().micro_batch * p.attention_dp;
  if (workload().global_batch % together != 0) {
    throw ConfigError(where + "/global_batch",
                      "is not a multiple of micro_batch * dp = " + number(together));
  }
  constexpr std::int64_t most_passes = 1 << 22;
  if (std::int64_t{micro_batches()} * p.pp * p.vpp > most_passes) {
    throw ConfigError(where + "/global_batch",
                      number(micro_batches()) + " micro-batches over " + number(p.pp) +
                          " stages are more than can be simulated; use larger micro-batches");
  }
  const std::int64_t cuts =
      std::int64_t{p.attention_cp} * (workload().sequence_parallel ? p.attention_tp : 1);
  if (workload().sequence % cuts != 0) {
    throw ConfigError(where + "/sequence", "is not a multiple of the " + number(cuts) +
                                               " ranks that it is cut over (cp, sequence "
                                               "parallelism)");
  }
}

void TrainingSystem::check_model() const {
  if (workload().optimizer.offload && !cluster().node.host) {
    throw ConfigError(scenario_.base.where + "/workload/optimizer/offload",
                      "keeps states in the host's memory, but the cluster has no host");
  }
  const Parallelism& p = parallelism();
  check_tensor_parallel(model(),
                        {.attention = p.attention_tp,
                         .dense = p.attention_tp,
                         .shared = p.attention_tp,
                         .expert = p.expert_tp,
                         .vocabulary = p.attention_tp},
                        scenario_.base.where + "/parallelism");
  for (const Block& block : model().blocks) {
    if (block.stack == Stack::encoder) {
      throw ConfigError(scenario_.base.where + "/model",
                        "\"" + model().name +
                            "\" has an encoder; training of decoder-only models can be simulated");
    }
  }
}

void TrainingSystem::check_experts() const {
  const std::string where = scenario_.base.where + "/parallelism/experts";
  const Parallelism& p = parallelism();
  const RoutingShape shape = routing_shape(model());
  if (shape.top_k == 0 && p.expert_ep > 1) {
    throw ConfigError(where, "\"" + model().name + "\" has no routed experts; use ep 1");
  }
  if (shape.top_k > 0 && shape.ffn_experts % p.expert_ep != 0) {
    throw ConfigError(where + "/ep", number(shape.ffn_experts) +
                                         " experts are not divided by ep; every rank trains as "
                                         "many");
  }
  const int group = p.expert_ep * p.expert_tp;
  const int node = cluster().node.devices;
  const bool even = group % node == 0 || node % group == 0;
  if (!even || (group % node == 0 && p.ranks_per_stage() % node != 0)) {
    throw ConfigError(where + "/ep", "expert groups of ep * etp = " + number(group) +
                                         " ranks do not sit evenly on nodes of " + number(node) +
                                         " devices");
  }
}

void TrainingSystem::check_formats() const {
  const OpPrecision& precision = policy().precision;
  const Device& device = cluster().node.device;
  for (const DType dtype : {precision.attention_gemm, precision.ffn_gemm, precision.expert_gemm,
                            precision.attention, precision.router, precision.head}) {
    if (!device.peak.contains(peak_class(dtype))) {
      std::vector<std::string_view> known;
      for (const auto& [format, rate] : device.peak) {
        known.push_back(name_of(format));
      }
      throw ConfigError(scenario_.base.where + "/policy/precision",
                        device.name + " does not compute in " + std::string(name_of(dtype)) +
                            "; it has: " + joined(known));
    }
  }
}

}  // namespace moesim
