#include "sim/engine/lowering/step_exchange.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/engine/lowering/expert_parts.h"

namespace moesim {
namespace {

std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

// Of all micro-batches, chunk by chunk.
std::vector<const StepTraffic*> parts_of_step(std::span<const MicroBatch> micro_batches) {
  std::vector<const StepTraffic*> parts;
  for (const MicroBatch& micro : micro_batches) {
    for (int chunk = 0; chunk < micro.chunks(); ++chunk) {
      parts.push_back(&micro.chunk(chunk));
    }
  }
  return parts;
}

}  // namespace

StepExchange::StepExchange(const LoweringInput& input, PartRule rule, bool slices)
    : in_(input),
      rule_(rule),
      share_(slices ? 1.0 / input.ranks.lanes() : 1.0),
      layout_(expert_layout(input.policy.all_to_all, input.ranks.units())) {
  const int top_k = static_cast<int>(routing_shape(in_.model).top_k);
  for (int g = 0; g < in_.ranks.expert_groups() && top_k > 0; ++g) {
    all_to_all_.push_back(make_all_to_all(in_.topology, in_.comm_profiles, in_.comm_target,
                                          in_.model, in_.policy, in_.ranks, g,
                                          in_.placement.slots(), top_k));
  }
}

void StepExchange::begin_step() {
  exchanges_.resize(in_.micro_batches.size());
  for (auto& groups : exchanges_) {
    groups.resize(all_to_all_.size());
    for (std::vector<Exchange>& parts : groups) {
      for (Exchange& exchange : parts) {
        exchange.decision = -1;
      }
    }
  }
}

const StepExchange::Exchange& StepExchange::of(const WorkNode& node, int group) {
  std::vector<Exchange>& parts = exchanges_[at(node.batch)][at(group)];
  // Halves of the experts have one dispatch, and what comes back is cut.
  if (at(node.part) >= parts.size()) {
    parts.resize(at(node.part) + 1);
  }
  Exchange& exchange = parts[at(node.part)];
  if (exchange.decision != node.decision) {
    fill(node, group, exchange);
    exchange.decision = node.decision;
  }
  return exchange;
}

void StepExchange::fill(const WorkNode& node, int group, Exchange& exchange) {
  const StepTraffic& step = traffic_of(node.batch, node.part);
  AllToAllLowering& all_to_all = all_to_all_[at(group)];
  const LayerTraffic& traffic = step.layers[at(node.decision)][at(group)];
  exchange.comes_back = true;
  if (rule_ == PartRule::sources) {
    fill_source({&step.home[at(group)], &traffic}, static_cast<SourcePart>(node.part), group,
                exchange);
    return;
  }
  if (step.resident.empty()) {
    all_to_all.lower({&step.home[at(group)], &traffic}, exchange.dispatch, exchange.combine);
    if (share_ < 1.0) {
      scale(exchange.dispatch, share_);
      scale(exchange.combine, share_);
    }
    if (rule_ == PartRule::halves) {
      // Units hold about as many experts each.
      exchange.combine =
          half_of(exchange.combine, in_.placement.slots() / in_.ranks.units(), node.part);
    }
    return;
  }
  const ResidentLayer& resident = step.resident[at(node.decision)][at(group)];
  all_to_all.lower({&resident.after, &resident.back}, unused_, exchange.combine);
  all_to_all.lower({&resident.before, &traffic}, exchange.dispatch, unused_);
  exchange.comes_back = std::ranges::any_of(resident.back.load,
                                            [](const ExpertLoad& load) { return load.pairs > 0; });
}

// What stays on its rank is no exchange, nor is what no rank of the group sends so far.
void StepExchange::fill_source(const LayerDemand& demand, SourcePart part, int group,
                               Exchange& exchange) {
  traffic_of_source(*demand.traffic, part, scratch_);
  const TokenFlow& copies = scratch_.pairs;
  exchange.dispatch.loads.clear();
  exchange.combine.loads.clear();
  if ((part == SourcePart::far ? copies.far_copies() : copies.near_copies()) > 0) {
    all_to_all_[at(group)].lower({demand.layout, &scratch_}, exchange.dispatch, exchange.combine);
  }
}

ExpertShard StepExchange::shard(const WorkNode& node, int group, int unit) const {
  const StepTraffic& step = traffic_of(node.batch, node.part);
  const LayerTraffic& traffic = step.layers[at(node.decision)][at(group)];
  ExpertShard result;
  result.local_experts =
      in_.placement.first_slot[at(unit) + 1] - in_.placement.first_slot[at(unit)];
  result.etp = in_.ranks.lanes();
  result.layout = layout_;
  result.load = traffic.load[at(unit)];
  result.entering_tokens = in_.ranks.units() == 1 ? step.home[at(group)].tokens_of(unit)
                                                  : rows_received(traffic, step, group, unit);
  switch (rule_) {
    case PartRule::halves:
      return half_of(result, node.part);
    case PartRule::sources:
      return source_of(result, traffic, unit, static_cast<SourcePart>(node.part));
    default:
      return result;
  }
}

std::int64_t StepExchange::rows_received(const LayerTraffic& traffic, const StepTraffic& step,
                                         int group, int unit) const {
  switch (algorithm().received) {
    case ReceivedRows::pairs:
      return traffic.load[at(unit)].pairs;
    case ReceivedRows::tokens:
      return traffic.distinct.rows[at(unit)];
    case ReceivedRows::all_tokens:
      return step.home[at(group)].tokens();
  }
  throw InvariantError("rows are received in one of three ways");
}

std::vector<LayerLoad> StepExchange::loads() const {
  const std::vector<const StepTraffic*> parts = parts_of_step(in_.micro_batches);
  std::vector<LayerLoad> rows(
      in_.micro_batches.empty() ? 0 : in_.micro_batches.front().traffic.layers.size());
  for (std::size_t decision = 0; decision < rows.size(); ++decision) {
    LayerLoad& row = rows[decision];
    std::int64_t heaviest_of_all = 0;
    double heaviest_sum = 0.0;
    for (const StepTraffic* part : parts) {
      std::int64_t heaviest = 0;
      for (int g = 0; g < in_.ranks.expert_groups(); ++g) {
        const LayerTraffic& traffic = part->layers[decision][at(g)];
        if (!all_to_all_.empty() && !algorithm().tokens_everywhere) {
          row.tokens_sent += static_cast<double>(traffic.pairs.copies());
          row.tokens_sent_far += static_cast<double>(traffic.pairs.far_copies());
        }
        for (int unit = 0; unit < in_.ranks.units(); ++unit) {
          const std::int64_t pairs = traffic.load[at(unit)].pairs;
          row.pairs += static_cast<double>(pairs);
          heaviest = std::max(heaviest, pairs);
          if (pairs > heaviest_of_all) {
            heaviest_of_all = pairs;
            row.busiest_rank = in_.ranks.rank_of(g, unit, 0);
          }
        }
      }
      heaviest_sum += static_cast<double>(heaviest);
    }
    const double mean =
        row.pairs / (static_cast<double>(in_.ranks.expert_groups()) * in_.ranks.units());
    row.max_over_mean = mean > 0 ? heaviest_sum / mean : 1.0;
  }
  return rows;
}

}  // namespace moesim
