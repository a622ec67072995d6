#include "sim/engine/lowering/step_exchange.h"

#include <algorithm>
#include <numeric>

#include "sim/core/error.h"

namespace moesim {
namespace {

std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

}  // namespace

StepExchange::StepExchange(const LoweringInput& input) : in_(input) {
  const int top_k = static_cast<int>(routing_shape(in_.model).top_k);
  for (int g = 0; g < in_.groups.groups && top_k > 0; ++g) {
    all_to_all_.push_back(make_all_to_all(in_.topology, in_.comm_profiles, in_.comm_target,
                                          in_.model, in_.policy, in_.groups, g,
                                          in_.placement.slots(), top_k));
  }
  exchanges_.assign(in_.micro_batches.size(), std::vector<Exchange>(all_to_all_.size()));
}

const StepExchange::Exchange& StepExchange::of(std::int32_t batch, std::int32_t decision,
                                               int group) {
  Exchange& exchange = exchanges_[at(batch)][at(group)];
  if (exchange.decision != decision) {
    fill(batch, decision, group, exchange);
    exchange.decision = decision;
  }
  return exchange;
}

void StepExchange::fill(std::int32_t batch, std::int32_t decision, int group, Exchange& exchange) {
  const StepTraffic& step = *in_.micro_batches[at(batch)].traffic;
  AllToAllLowering& all_to_all = all_to_all_[at(group)];
  const LayerCounts& counts = step.layers[at(decision)][at(group)];
  const ReplicaChoice replicas(in_.placement, decision, all_to_all.node_of_rank());
  lower_counts(counts.experts, replicas, exchange.traffic);
  exchange.comes_back = true;
  if (step.resident.empty()) {
    all_to_all.lower({&step.layout, &exchange.traffic, &counts.distinct}, exchange.dispatch,
                     exchange.combine);
  } else {
    const ResidentLayer& resident = step.resident[at(decision)][at(group)];
    all_to_all.lower({&resident.after, &resident.back, &resident.back_distinct}, unused_,
                     exchange.combine);
    all_to_all.lower({&resident.before, &exchange.traffic, &counts.distinct}, exchange.dispatch,
                     unused_);
    exchange.comes_back = std::ranges::any_of(resident.back.slot_pairs,
                                              [](std::int64_t pairs) { return pairs > 0; });
  }
  count_loads(batch, group, decision, all_to_all.grid(), exchange.traffic);
}

// Pairs of the busiest unit, and pair copies split into those that stay, change rank, and change
// node.
void StepExchange::count_loads(std::int32_t batch, int group, std::int32_t decision,
                               const RankGrid& grid, const LayerTraffic& traffic) {
  if (at(decision) >= loads_.size()) {
    loads_.resize(at(decision) + 1);
  }
  DecisionLoad& load = loads_[at(decision)];
  load.heaviest.resize(in_.micro_batches.size());
  for (int unit = 0; unit < in_.groups.units; ++unit) {
    const std::int64_t pairs = traffic.load[at(unit)].pairs;
    load.heaviest[at(batch)] = std::max(load.heaviest[at(batch)], pairs);
    if (pairs > load.heaviest_of_all) {
      load.heaviest_of_all = pairs;
      load.sums.busiest_rank = in_.groups.rank(group, unit, 0);
    }
  }
  const auto ranks = at(traffic.ranks);
  const auto block = at(grid.ranks_per_node);
  for (std::size_t to = 0; to < ranks; ++to) {
    const std::int32_t* row = &traffic.pair_copies[to * ranks];
    const std::int64_t all = std::accumulate(row, row + ranks, std::int64_t{0});
    const std::int32_t* node = row + to / block * block;
    const std::int64_t near = std::accumulate(node, node + block, std::int64_t{0});
    load.sums.pairs += static_cast<double>(all);
    load.sums.tokens_sent += static_cast<double>(all - row[to]);
    load.sums.tokens_sent_far += static_cast<double>(all - near);
  }
}

std::vector<LayerLoad> StepExchange::loads() const {
  std::vector<LayerLoad> rows;
  for (const DecisionLoad& load : loads_) {
    rows.push_back(load.sums);
    const double units = static_cast<double>(in_.groups.groups) * in_.groups.units;
    const double mean = load.sums.pairs / units;
    const auto heaviest = static_cast<double>(
        std::accumulate(load.heaviest.begin(), load.heaviest.end(), std::int64_t{0}));
    rows.back().max_over_mean = mean > 0 ? heaviest / mean : 1.0;
  }
  return rows;
}

ExpertShard StepExchange::shard(std::int32_t batch, std::int32_t decision, int group, int unit) {
  const Exchange& exchange = of(batch, decision, group);
  ExpertShard result;
  result.local_experts = in_.placement.first_slot[at(unit) + 1] - in_.placement.first_slot[at(unit)];
  result.etp = in_.groups.lanes;
  result.load = exchange.traffic.load[at(unit)];
  result.entering_tokens = in_.groups.units == 1
                               ? in_.micro_batches[at(batch)].traffic->layout.tokens_of(0)
                               : received_rows(batch, unit, exchange, group);
  return result;
}

// Rows that the all-to-all hands to a unit: one per token if it sends a token once per rank, else
// one per (token, expert) pair.
std::int64_t StepExchange::received_rows(std::int32_t batch, int unit, const Exchange& exchange,
                                         int group) const {
  const LayerCounts& counts =
      in_.micro_batches[at(batch)].traffic->layers[at(exchange.decision)][at(group)];
  const std::vector<std::int32_t>& tokens = counts.distinct.tokens_to_rank;
  if (tokens.empty()) {
    return exchange.traffic.load[at(unit)].pairs;
  }
  const auto row = tokens.begin() + static_cast<std::ptrdiff_t>(unit) * in_.groups.units;
  return std::accumulate(row, row + in_.groups.units, std::int64_t{0});
}

}  // namespace moesim
