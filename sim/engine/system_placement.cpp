// Where a system's experts live: the scenario's solver on statistics of its routing source.
#include <algorithm>
#include <utility>

#include "models/network/moe_model_size.h"
#include "models/operators/operators.h"
#include "placement/formats/formats.h"
#include "placement/replication/replicas.h"
#include "placement/solver.h"
#include "sim/core/error.h"
#include "sim/engine/exchange/all_to_all.h"
#include "sim/engine/system.h"

namespace moesim {
namespace {

// Block and entry of the model's first routed experts.
std::pair<std::size_t, std::size_t> first_moe_group(const MoeModel& model) {
  for (std::size_t b = 0; b < model.blocks.size(); ++b) {
    for (std::size_t i = 0; i < model.blocks[b].ffn.size(); ++i) {
      if (&model.blocks[b].ffn[i] == model.blocks[b].moe()) {
        return {b, i};
      }
    }
  }
  throw InvariantError("only models with routed experts place them");
}

// Pairs spread evenly over experts.
ExpertLoad even_load(std::int64_t pairs, std::int64_t experts) {
  const std::int64_t touched = std::min(pairs, experts);
  const std::int64_t each = (pairs + touched - 1) / touched;
  return {.pairs = pairs,
          .touched_experts = touched,
          .tiles_64 = touched * ((each + 63) / 64),
          .tiles_128 = touched * ((each + 127) / 128),
          .busiest = each};
}

}  // namespace

PlacementShape System::placement_shape() const {
  const int units_per_node = std::max(1, cluster().node.devices / ranks_.lanes());
  return {.experts = static_cast<int>(routing_shape_.ffn_experts),
          .units = ranks_.units(),
          .units_per_node = std::min(units_per_node, ranks_.units()),
          .redundant = scenario_.placement.redundant_experts};
}

double System::tokens_per_group() const {
  return static_cast<double>(first_batch_.tokens()) / ranks_.expert_groups();
}

double System::pairs_per_step() const {
  return tokens_per_group() * static_cast<double>(routing_shape_.top_k);
}

std::vector<RoutedTokens> System::placement_statistics(int threads) const {
  return statistics_batch(*routing_, first_batch_, scenario_.placement.statistics_tokens,
                          scenario_.seed, threads);
}

// The experts of the model's first MoE layer: layers share them in all models we know.
PlacementCosts System::placement_costs() const {
  PlacementCosts costs;
  const auto [block, entry] = first_moe_group(model());
  const FfnGroup& group = model().blocks[block].ffn[entry];
  const std::int64_t wanted = placement_shape().experts + scenario_.placement.redundant_experts;
  const std::int64_t slots = (wanted + ranks_.units() - 1) / ranks_.units();
  const auto seconds = [&](std::int64_t pairs) {
    ExpertShard shard;
    shard.entering_tokens = pairs;
    shard.local_experts = slots;
    shard.etp = ranks_.lanes();
    shard.load = even_load(pairs, slots);
    shard.layout = expert_layout(scenario_.policy.all_to_all, ranks_.units());
    const Op op = routed_expert_op(model(), group, shard, scenario_.policy.precision);
    return kernels_->estimate(op.shape).alone().si();
  };
  const auto mean =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(pairs_per_step()) / ranks_.units());
  // A chord over a factor of four: kernels jump from tile to tile, and a steep or flat step near
  // the mean says nothing about the loads that placements compare.
  const std::int64_t low = std::max<std::int64_t>(1, mean / 2);
  const std::int64_t high = std::max<std::int64_t>(2 * mean, low + 256);
  costs.seconds_per_pair =
      std::max(0.0, (seconds(high) - seconds(low)) / static_cast<double>(high - low));
  const double bytes = activation_bytes(dispatch_width(model()), scenario_.policy.dispatch).si() +
                       activation_bytes(dispatch_width(model()), scenario_.policy.combine).si();
  const NodeSpec& node = cluster().node;
  if (node.devices > 1) {
    costs.intra_s = bytes / ranks_.lanes() / node.device_link.bandwidth.si();
  }
  if (node.nics > 0) {
    const double nics = std::min(node.nics, node.devices);
    costs.inter_s = bytes / ranks_.lanes() / (node.nic_link.bandwidth.si() * nics / node.devices);
  }
  costs.expert_bytes = weight_bytes(model(), scenario_.policy.precision.weights)
                           .blocks[block]
                           .ffn[entry]
                           .routed_expert.si() /
                       ranks_.lanes();
  costs.basis = "expert kernels: slope from " + std::to_string(low) + " to " +
                std::to_string(high) + " pairs per rank; links: nominal bandwidths";
  return costs;
}

std::vector<int> System::moe_layers() const {
  std::vector<int> layers;
  for (std::size_t layer = 0; layer < model().layers.size(); ++layer) {
    if (model().layer(layer).moe() != nullptr) {
      layers.push_back(static_cast<int>(layer));
    }
  }
  return layers;
}

ExpertPlacement System::placement_of_file() const {
  const std::string where = scenario_.where + "/placement/file";
  const std::string& path = scenario_.placement.file;
  const std::vector<int> layers = moe_layers();
  FormatOptions options{.devices = ranks_.units(), .first_layer = layers.front(), .layers = {}};
  if (layers.back() - layers.front() + 1 != static_cast<int>(layers.size())) {
    options.layers = layers;
  }
  ExpertPlacement placement;
  try {
    placement = read_placement_file(path, options).placement;
  } catch (const ConfigError& error) {
    throw ConfigError(where, error.what());
  }
  const auto check = [&](std::string_view what, std::int64_t has, std::int64_t needed) {
    if (has != needed) {
      throw ConfigError(where, path + " places " + std::to_string(has) + " " + std::string(what) +
                                   "; the scenario has " + std::to_string(needed));
    }
  };
  check("experts", placement.experts, routing_shape_.ffn_experts);
  check("layers", static_cast<std::int64_t>(placement.slot_expert.size()), routing_shape_.layers);
  check("devices", placement.devices, ranks_.units());
  // A second copy on the same device serves nobody.
  return without_twins(placement);
}

ExpertPlacement System::place_experts(int threads) const {
  if (!has_experts()) {
    return {};
  }
  const PlacementChoice& choice = scenario_.placement;
  if (!choice.file.empty()) {
    return placement_of_file();
  }
  const PlacementSolverEntry& solver =
      find_placement_solver(choice.policy, scenario_.where + "/placement/policy");
  const std::int64_t most_redundant =
      std::int64_t{placement_shape().experts} * (ranks_.units() - 1);
  if (choice.redundant_experts > most_redundant) {
    throw ConfigError(scenario_.where + "/placement/redundant_experts",
                      std::to_string(choice.redundant_experts) + " replicas, but at most " +
                          std::to_string(most_redundant) +
                          " can be placed: no rank holds an expert twice");
  }
  if (choice.expected_statistics && (!solver.fixed_rule || choice.redundant_experts > 0)) {
    const auto statistics = routing_->statistics(threads);
    const PlacementShape shape = placement_shape();
    const PlacementKey key{statistics.get(),         choice.policy,   scenario_.seed,
                           choice.statistics_tokens, shape.redundant, shape.units,
                           shape.units_per_node};
    // Of loads alone: what a pair costs changes no answer.
    return *placements_->get(key, [&] {
      const PlacementProblem problem =
          load_problem(expected_loads(*statistics, shape.experts, choice.statistics_tokens),
                       static_cast<int>(routing_shape_.top_k), shape,
                       {.seconds_per_pair = 1.0, .basis = {}}, 1.0, scenario_.where + "/placement");
      return std::make_shared<const ExpertPlacement>(solve_placement(problem, threads));
    });
  }
  PlacementProblem problem;
  if (solver.fixed_rule && choice.redundant_experts == 0) {
    problem.name = scenario_.where + "/placement";
    problem.layers = static_cast<int>(routing_shape_.layers);
    problem.experts = placement_shape().experts;
    problem.devices = ranks_.units();
    problem.devices_per_node = placement_shape().units_per_node;
    problem.set_even_capacity();
    problem.loads.assign(static_cast<std::size_t>(problem.layers),
                         std::vector<double>(static_cast<std::size_t>(problem.experts), 1.0));
  } else {
    problem =
        placement_problem(placement_statistics(threads), placement_shape(), choice.comm_model,
                          placement_costs(), pairs_per_step(), scenario_.where + "/placement");
  }
  return solve_placement(problem, threads);
}

ExpertPlacement System::solve_placement(const PlacementProblem& problem, int threads) const {
  const PlacementChoice& choice = scenario_.placement;
  const PlacementSolverEntry& solver =
      find_placement_solver(choice.policy, scenario_.where + "/placement/policy");
  if (const std::string reason = solver.unfit(problem); !reason.empty()) {
    throw ConfigError(scenario_.where + "/placement/policy", choice.policy + ": " + reason);
  }
  SolverRun run({.seed = scenario_.seed, .threads = threads});
  ExpertPlacement placement = solver.solve(problem, run).placement;
  if (placement.slot_expert.empty()) {
    throw ConfigError(scenario_.where + "/placement/policy",
                      choice.policy + " found no placement; use auto");
  }
  // Engines keep at most one replica of an expert per device.
  if (choice.redundant_experts > 0) {
    placement = without_twins(apart_where_possible(problem, placement));
  }
  return trimmed(placement);
}

}  // namespace moesim
