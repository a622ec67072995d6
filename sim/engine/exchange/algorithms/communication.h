// Communication algorithms as lists of steps over a two-level fabric: how many messages of which
// size a device sends over which kind of link, one step after the other. Each algorithm is one
// file, with its equations and its source at its head; algorithms.cpp holds the table.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hardware/cluster.h"
#include "sim/core/units.h"

namespace moesim {

// What a message crosses: the device's own memory, links inside a node, links between nodes.
enum class Crossing : std::uint8_t { memory, node, network };
std::string_view name_of(Crossing crossing);

// A link of alpha and beta: n messages of b bytes take n (alpha + b / rate).
struct CommLink {
  Seconds alpha;
  Bandwidth rate;  // of one device, per direction
};

struct CommFabric {
  std::int64_t devices_per_node = 1;
  CommLink memory;  // a copy inside the device; rate: bytes copied (read and written once)
  CommLink node;
  CommLink network;

  [[nodiscard]] const CommLink& link(Crossing crossing) const;
};

// The cluster's links; a device has nics / devices of its node's network. `per_message` is what
// software adds to each message, `per_copy` to each copy inside the device.
CommFabric comm_fabric(const Cluster& cluster, Seconds per_message, Seconds per_copy);

// What one device of the group does; devices are alike unless `worst` says otherwise.
struct CommStep {
  std::string name;
  Crossing crossing = Crossing::network;
  std::int64_t messages = 0;
  Bytes message;  // of the slowest device where they differ

  [[nodiscard]] Bytes bytes() const { return static_cast<double>(messages) * message; }
};

struct CommPlan {
  std::vector<CommStep> steps;  // one after the other

  [[nodiscard]] std::int64_t messages() const;
  [[nodiscard]] Bytes bytes(Crossing crossing) const;
};

Seconds time_of(const CommStep& step, const CommFabric& fabric);
Seconds time_of(const CommPlan& plan, const CommFabric& fabric);

// What is to be communicated. Which fields count is up to the algorithm.
struct CommTask {
  std::int64_t devices = 1;     // of the group, whole nodes or part of one
  Bytes bytes;                  // send buffer of one device; gathers: of all parts together
  std::int64_t tensor = 1;      // coordinated: ranks that hold the same tokens
  std::vector<double> parts{};  // gathers: relative sizes by device; empty: alike
  std::int64_t experts = 1;     // sparse gathers: chunks that `bytes` is made of
  std::int64_t chosen = 1;      // sparse gathers: chunks that every device gets
};

struct CommAlgorithm {
  std::string_view name;
  std::string_view summary;
  CommPlan (*plan)(const CommTask& task, const CommFabric& fabric);
};

std::span<const CommAlgorithm> comm_algorithms();
// Throws ConfigError(where, ...) with the names that there are.
const CommAlgorithm& comm_algorithm(std::string_view name, const std::string& where);

// The plans; each throws ConfigError for a group that does not fit the fabric.
CommPlan pairwise_all_to_all(const CommTask& task, const CommFabric& fabric);
CommPlan two_dimensional_all_to_all(const CommTask& task, const CommFabric& fabric);
CommPlan hierarchical_all_to_all(const CommTask& task, const CommFabric& fabric);
CommPlan coordinated_all_to_all(const CommTask& task, const CommFabric& fabric);
CommPlan ring_all_gather(const CommTask& task, const CommFabric& fabric);
CommPlan ring_reduce_scatter(const CommTask& task, const CommFabric& fabric);
CommPlan sparse_all_gather(const CommTask& task, const CommFabric& fabric);
CommPlan sparse_reduce_scatter(const CommTask& task, const CommFabric& fabric);

// Devices of the group in one node. Throws ConfigError unless they are whole nodes or within one.
std::int64_t devices_in_node(const CommTask& task, const CommFabric& fabric);

}  // namespace moesim
