#include "sim/training/expert_traffic.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sim/engine/exchange/expected_traffic.h"
#include "sim/engine/lowering/lowering.h"
#include "sim/training/stage_groups.h"

namespace moesim {
namespace {

RouterSpec router_of(const RoutingShape& shape, int layers) {
  return {.layers = layers,
          .experts = static_cast<int>(shape.experts),
          .top_k = static_cast<int>(shape.top_k),
          .groups = static_cast<int>(shape.groups),
          .top_groups = static_cast<int>(shape.top_groups),
          .per_group_k = static_cast<int>(shape.per_group_k)};
}

ExpertPlacement in_order(const RoutingShape& shape, int units, int layers) {
  ExpertPlacement placement;
  placement.experts = static_cast<int>(shape.ffn_experts);
  placement.devices = units;
  for (int u = 0; u <= units; ++u) {
    placement.first_slot.push_back(placement.experts / units * u);
  }
  std::vector<std::int32_t> slots(static_cast<std::size_t>(placement.experts));
  std::iota(slots.begin(), slots.end(), 0);
  placement.slot_expert.assign(static_cast<std::size_t>(layers), slots);
  return placement;
}

// An expert group alone: a unit per data-parallel rank.
RankMap group_map(int units) {
  Parallelism p;
  p.attention_dp = units;
  p.expert_ep = units;
  return {p, units};
}

std::vector<int> nodes_of_lane(const TrainingSystem& system) {
  std::vector<int> nodes;
  const auto lanes = groups_of(RankGroup::experts, system.parallelism());
  for (const int rank : lanes.front()) {
    nodes.push_back(system.topology().node_of(rank));
  }
  return nodes;
}

}  // namespace

ExpertTraffic::ExpertTraffic(const TrainingSystem& system, int threads) : system_(system) {
  const RoutingShape shape = routing_shape(system.model());
  if (shape.top_k == 0) {
    return;
  }
  const Parallelism& p = system.parallelism();
  tokens_ = std::max<std::int64_t>(1, system.tokens() / p.attention_tp);
  const bool balanced = system.routing() == nullptr;
  const int layers = balanced ? 1 : static_cast<int>(shape.layers);
  const ExpertPlacement placement = in_order(shape, p.expert_ep, layers);
  const std::vector<int> nodes = nodes_of_lane(system);
  const std::vector<ReplicaChoice> replicas = replica_choices(placement, nodes);
  const StepBatch batch(
      RankBatch{{SequenceClass{
          .phase = Phase::prefill, .count = 1, .new_tokens = tokens_, .context = tokens_}}},
      p.expert_ep);
  const bool distinct =
      find_all_to_all_algorithm(system.policy().all_to_all, "policy/all_to_all").needs_distinct;
  std::vector<DistinctShares> shares;
  std::shared_ptr<const RoutingStatistics> statistics;
  std::unique_ptr<RoutingSource> balance;
  if (balanced) {
    balance = make_routing_source("balanced", router_of(shape, layers), {}, "workload/routing");
    statistics = balance->statistics(threads);
  } else {
    statistics = system.routing()->statistics(threads);
  }
  traffic_ = expected_traffic(*statistics, batch, group_map(p.expert_ep), replicas, distinct,
                              threads, shares);
  for (const auto& groups : traffic_.layers) {
    for (const ExpertLoad& load : groups.front().load) {
      pairs_ += static_cast<double>(load.pairs);
    }
  }
  if (system.workload().capacity_factor) {
    drop_beyond_capacity(*system.workload().capacity_factor);
  }
}

// An expert takes `factor` times its mean share at most. What a rank's experts drop is known of the
// busiest alone; the others are taken to be below their capacity where the rank is below its own.
void ExpertTraffic::drop_beyond_capacity(double factor) {
  const auto units = static_cast<double>(system_.parallelism().expert_ep);
  for (auto& groups : traffic_.layers) {
    std::vector<ExpertLoad>& loads = groups.front().load;
    double pairs = 0.0;
    for (const ExpertLoad& load : loads) {
      pairs += static_cast<double>(load.pairs);
    }
    const auto most = static_cast<std::int64_t>(std::ceil(factor * pairs / units));
    for (ExpertLoad& load : loads) {
      const std::int64_t kept = std::min(load.pairs, most);
      dropped_ += static_cast<double>(load.pairs - kept);
      load.pairs = kept;
      load.busiest = std::min(load.busiest, kept);
    }
  }
}

LayerDemand ExpertTraffic::demand(std::int32_t decision) const {
  const auto d = static_cast<std::size_t>(decision < 0 ? 0 : decision);
  return {&traffic_.home.front(), &traffic_.layers[d].front()};
}

ExpertShard ExpertTraffic::shard(std::int32_t decision, int unit) const {
  const LayerTraffic& traffic = *demand(decision).traffic;
  const auto u = static_cast<std::size_t>(unit);
  const int slices = system_.parallelism().expert_tp;
  const int units = system_.parallelism().expert_ep;
  ExpertShard shard;
  shard.load = traffic.load[u];
  // Ranks that slice an expert gather each other's rows.
  for (std::int64_t* rows :
       {&shard.load.pairs, &shard.load.tiles_64, &shard.load.tiles_128, &shard.load.busiest}) {
    *rows *= slices;
  }
  shard.local_experts = routing_shape(system_.model()).ffn_experts / units;
  shard.etp = slices;
  shard.layout = expert_layout(system_.policy().all_to_all, units);
  const auto received =
      find_all_to_all_algorithm(system_.policy().all_to_all, "policy/all_to_all").received;
  std::int64_t rows = traffic.load[u].pairs;
  if (units == 1) {
    rows = tokens_;
  } else if (received == ReceivedRows::tokens) {
    rows = traffic.distinct.rows[u];
  } else if (received == ReceivedRows::all_tokens) {
    rows = tokens_ * units;
  }
  shard.entering_tokens = rows * slices;
  return shard;
}

double ExpertTraffic::busiest_rows(std::int32_t decision) const {
  std::int64_t most = 0;
  for (const ExpertLoad& load : demand(decision).traffic->load) {
    most = std::max(most, load.pairs);
  }
  return static_cast<double>(most) * system_.parallelism().expert_tp;
}

double ExpertTraffic::max_over_mean() const {
  double sum = 0.0;
  for (std::int32_t d = 0; d < decisions(); ++d) {
    double pairs = 0.0;
    for (const ExpertLoad& load : demand(d).traffic->load) {
      pairs += static_cast<double>(load.pairs);
    }
    const double most = busiest_rows(d) / system_.parallelism().expert_tp;
    sum += pairs > 0 ? most * system_.parallelism().expert_ep / pairs : 1.0;
  }
  return decisions() > 0 ? sum / decisions() : 1.0;
}

AllToAllLowering stage_all_to_all(const TrainingSystem& system, int stage,
                                  std::span<const std::vector<int>> lanes) {
  const Policy& policy = system.policy();
  const RoutingShape shape = routing_shape(system.model());
  AllToAllSpec spec;
  spec.algorithm = policy.all_to_all;
  spec.payload = {.hidden = dispatch_width(system.model()),
                  .top_k = static_cast<int>(shape.top_k),
                  .dispatch = policy.dispatch,
                  .combine = policy.combine};
  spec.slots = static_cast<int>(shape.ffn_experts);
  spec.link_rate = policy.all_to_all_link_rate;
  const int first = system.ranks().first_rank(stage);
  for (const std::vector<int>& lane : lanes) {
    std::vector<int>& devices = spec.lanes.emplace_back();
    for (const int rank : lane) {
      devices.push_back(system.ranks().device_of(first + rank));
    }
  }
  return {system.topology(), system.comm_profiles(), system.comm_target(), spec,
          "policy/all_to_all"};
}

}  // namespace moesim
