// A placement problem: what load and traffic each expert brings, what devices offer, and what a
// placement costs.
//
//   F = alpha * sum_l max_g slowness[g] * load(l, g) + beta * traffic
//
// traffic by cost model (d = 0 on one device, c_intra in one node, c_inter between nodes):
// - interlayer: sum_l sum_ab transitions[l][a][b] * d(device(l, a), device(l + 1, b)): a token
// rests
//   where its expert is and travels on from there (ExFlow's context-coherent execution);
// - dispatch: a token rests on its home device, any device being its home equally often, and visits
//   every device that holds one of its experts of the layer: once per node over the network, then
//   once per device inside the node. With D devices and N nodes touched, s devices per node and M
//   nodes: D * (1 - 1/s) * c_intra + N * (1 - 1/M) * c_inter, summed over the sampled tokens;
// - none: 0.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace moesim {

enum class CommModel { none, interlayer, dispatch };
std::string_view name_of(CommModel model);
// Requires one of the names.
CommModel parse_comm_model(std::string_view name);

// How tokens of an expert with several replicas choose: every replica takes an equal share, or
// shares are chosen so that the busiest device is as idle as possible.
enum class ReplicaSplit { even, optimal };
std::string_view name_of(ReplicaSplit split);

// Plain data, checked by check_problem. "Items" are what solvers assign: experts, or, once replicas
// have been chosen, replicas (expand_replicas in replicas.h).
struct PlacementProblem {
  std::string name;
  int layers = 0;
  int experts = 0;  // items per layer
  int devices = 0;
  int devices_per_node = 1;    // node of device g: g / devices_per_node
  std::vector<int> capacity;   // [device]: slots in every layer
  bool exact_capacity = true;  // every slot is filled; false: at most
  int redundant = 0;           // replicas per layer beyond one of each expert
  ReplicaSplit split = ReplicaSplit::even;

  int top_k = 1;
  std::vector<std::vector<double>> loads;  // [layer][expert] >= 0: (token, expert) pairs
  CommModel comm = CommModel::none;
  // interlayer: [layer - 1][a * experts + b]: token pairs from expert a to expert b of the next
  // layer, all top_k * top_k pairs of a token counted.
  std::vector<std::vector<double>> transitions;
  // dispatch: [layer][token * top_k + k]: the experts of a sample of tokens.
  std::vector<std::vector<std::uint16_t>> token_sets;

  double alpha = 1.0;  // cost of one unit of load on a device of slowness 1
  double beta = 1.0;
  double c_intra = 1.0;
  double c_inter = 1.0;
  bool in_seconds = false;       // is F seconds, or a number without unit?
  std::vector<double> slowness;  // [device] > 0; empty: all 1

  // [(layer * experts + expert) * devices + device]: 1 where the expert may not live; empty: it may
  // live everywhere.
  std::vector<std::uint8_t> forbidden;
  // Items that are replicas: [layer][item] -> expert; no device should hold two replicas of one
  // expert. Empty: items are experts.
  std::vector<std::vector<std::int32_t>> expert_of_item;

  double expert_bytes = 0.0;  // of one expert in one layer; 0: unknown

  [[nodiscard]] int nodes() const { return (devices + devices_per_node - 1) / devices_per_node; }
  [[nodiscard]] int node_of(int device) const { return device / devices_per_node; }
  [[nodiscard]] double slowness_of(int device) const {
    return slowness.empty() ? 1.0 : slowness[static_cast<std::size_t>(device)];
  }
  [[nodiscard]] bool allowed(int layer, int expert, int device) const {
    return forbidden.empty() ||
           forbidden[(static_cast<std::size_t>(layer) * static_cast<std::size_t>(experts) +
                      static_cast<std::size_t>(expert)) *
                         static_cast<std::size_t>(devices) +
                     static_cast<std::size_t>(device)] == 0;
  }
  // Cost of one token pair between two devices.
  [[nodiscard]] double distance(int a, int b) const {
    return a == b ? 0.0 : node_of(a) == node_of(b) ? c_intra : c_inter;
  }
  [[nodiscard]] int slots() const;
  // Room for all experts and replicas, spread evenly. Where devices do not divide them: with
  // replicas the first devices have one slot more; without, all have the next whole number of
  // slots, not all filled.
  void set_even_capacity();
  [[nodiscard]] double total_load(int layer) const;
};

// Throws ConfigError(where + pointer, ...) naming the field: wrong sizes, negative or non-finite
// numbers, fewer slots than experts, transitions that contradict the loads (rows and columns of
// transitions[l] sum to top_k * loads[l] and top_k * loads[l + 1]), experts with nowhere to live.
void check_problem(const PlacementProblem& problem, const std::string& where);

// Reads the format described in README.md ("Problem files"): placement cases and replication cases.
// Throws ConfigError("name#/pointer", ...).
PlacementProblem read_placement_problem(const nlohmann::json& document, const std::string& name);

// Is this document a problem (it has `loads`), as opposed to a scenario?
bool is_placement_problem(const nlohmann::json& document);

}  // namespace moesim
