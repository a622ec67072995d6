#include "sim/engine/exchange/algorithms/communication.h"

#include <algorithm>
#include <array>

#include "sim/core/error.h"

namespace moesim {
namespace {

constexpr std::array<std::string_view, 3> crossing_names{"memory", "node", "network"};

constexpr std::array algorithms{
    CommAlgorithm{"pairwise", "all-to-all, a message per pair", pairwise_all_to_all},
    CommAlgorithm{"two_dimensional", "all-to-all in and between nodes, aligned by strided copies",
                  two_dimensional_all_to_all},
    CommAlgorithm{"hierarchical", "all-to-all in and between nodes, layouts transformed",
                  hierarchical_all_to_all},
    CommAlgorithm{"coordinated", "all-to-all among equal tensor-parallel ranks, then all-gather",
                  coordinated_all_to_all},
    CommAlgorithm{"ring_all_gather", "all-gather of parts of any size", ring_all_gather},
    CommAlgorithm{"ring_reduce_scatter", "reduce-scatter of parts of any size",
                  ring_reduce_scatter},
    CommAlgorithm{"sparse_all_gather", "chosen chunks to every device by grouped broadcasts",
                  sparse_all_gather},
    CommAlgorithm{"sparse_reduce_scatter", "chosen chunks back to their owners by grouped reduces",
                  sparse_reduce_scatter},
};

}  // namespace

std::string_view name_of(Crossing crossing) {
  return crossing_names.at(static_cast<std::size_t>(crossing));
}

const CommLink& CommFabric::link(Crossing crossing) const {
  return crossing == Crossing::memory ? memory : crossing == Crossing::node ? node : network;
}

CommFabric comm_fabric(const Cluster& cluster, Seconds per_message, Seconds per_copy) {
  const NodeSpec& node = cluster.node;
  const double share =
      node.nics > 0 ? std::min(1.0, static_cast<double>(node.nics) / node.devices) : 1.0;
  constexpr double read_and_written = 2.0;
  return {.devices_per_node = node.devices,
          .memory = {per_copy, (1 / read_and_written) * node.device.memory.read},
          .node = {node.device_link.latency + per_message, node.device_link.bandwidth},
          .network = {node.nic_link.latency + per_message, share * node.nic_link.bandwidth}};
}

std::int64_t CommPlan::messages() const {
  std::int64_t sum = 0;
  for (const CommStep& step : steps) {
    sum += step.messages;
  }
  return sum;
}

Bytes CommPlan::bytes(Crossing crossing) const {
  Bytes sum;
  for (const CommStep& step : steps) {
    if (step.crossing == crossing) {
      sum += step.bytes();
    }
  }
  return sum;
}

Seconds time_of(const CommStep& step, const CommFabric& fabric) {
  if (step.messages == 0) {
    return Seconds{};
  }
  const CommLink& link = fabric.link(step.crossing);
  return static_cast<double>(step.messages) * (link.alpha + step.message / link.rate);
}

Seconds time_of(const CommPlan& plan, const CommFabric& fabric) {
  Seconds sum;
  for (const CommStep& step : plan.steps) {
    sum += time_of(step, fabric);
  }
  return sum;
}

std::span<const CommAlgorithm> comm_algorithms() { return algorithms; }

const CommAlgorithm& comm_algorithm(std::string_view name, const std::string& where) {
  const auto found = std::ranges::find(algorithms, name, &CommAlgorithm::name);
  if (found == algorithms.end()) {
    std::vector<std::string_view> known;
    for (const CommAlgorithm& algorithm : algorithms) {
      known.push_back(algorithm.name);
    }
    throw ConfigError(where,
                      "\"" + std::string(name) + "\" is no algorithm; there are: " + joined(known));
  }
  return *found;
}

std::int64_t devices_in_node(const CommTask& task, const CommFabric& fabric) {
  const std::int64_t m = std::min(task.devices, fabric.devices_per_node);
  if (task.devices < 1 || task.devices % m != 0) {
    throw ConfigError("devices", std::to_string(task.devices) + " are neither whole nodes of " +
                                     std::to_string(fabric.devices_per_node) + " nor within one");
  }
  return m;
}

}  // namespace moesim
