#include "sim/engine/lowering/step_exchange.h"

#include <algorithm>

#include "sim/core/error.h"

namespace moesim {
namespace {

std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

}  // namespace

StepExchange::StepExchange(const LoweringInput& input)
    : in_(input), layout_(expert_layout(input.policy.all_to_all, input.ranks.units())) {
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
    for (Exchange& exchange : groups) {
      exchange.decision = -1;
    }
  }
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
  const StepTraffic& step = in_.micro_batches[at(batch)].traffic;
  AllToAllLowering& all_to_all = all_to_all_[at(group)];
  const LayerTraffic& traffic = step.layers[at(decision)][at(group)];
  exchange.comes_back = true;
  if (step.resident.empty()) {
    all_to_all.lower({&step.home[at(group)], &traffic}, exchange.dispatch, exchange.combine);
    return;
  }
  const ResidentLayer& resident = step.resident[at(decision)][at(group)];
  all_to_all.lower({&resident.after, &resident.back}, unused_, exchange.combine);
  all_to_all.lower({&resident.before, &traffic}, exchange.dispatch, unused_);
  exchange.comes_back = std::ranges::any_of(resident.back.load,
                                            [](const ExpertLoad& load) { return load.pairs > 0; });
}

ExpertShard StepExchange::shard(std::int32_t batch, std::int32_t decision, int group,
                                int unit) const {
  const StepTraffic& step = in_.micro_batches[at(batch)].traffic;
  const LayerTraffic& traffic = step.layers[at(decision)][at(group)];
  ExpertShard result;
  result.local_experts =
      in_.placement.first_slot[at(unit) + 1] - in_.placement.first_slot[at(unit)];
  result.etp = in_.ranks.lanes();
  result.layout = layout_;
  result.load = traffic.load[at(unit)];
  result.entering_tokens = in_.ranks.units() == 1 ? step.home[at(group)].tokens_of(unit)
                                                  : rows_received(traffic, batch, group, unit);
  return result;
}

std::int64_t StepExchange::rows_received(const LayerTraffic& traffic, std::int32_t batch, int group,
                                         int unit) const {
  switch (algorithm().received) {
    case ReceivedRows::pairs:
      return traffic.load[at(unit)].pairs;
    case ReceivedRows::tokens:
      return traffic.distinct.rows[at(unit)];
    case ReceivedRows::all_tokens:
      return in_.micro_batches[at(batch)].traffic.home[at(group)].tokens();
  }
  throw InvariantError("rows are received in one of three ways");
}

std::vector<LayerLoad> StepExchange::loads() const {
  std::vector<LayerLoad> rows(
      in_.micro_batches.empty() ? 0 : in_.micro_batches.front().traffic.layers.size());
  for (std::size_t decision = 0; decision < rows.size(); ++decision) {
    LayerLoad& row = rows[decision];
    std::int64_t heaviest_of_all = 0;
    double heaviest_sum = 0.0;
    for (const MicroBatch& micro : in_.micro_batches) {
      std::int64_t heaviest = 0;
      for (int g = 0; g < in_.ranks.expert_groups(); ++g) {
        const LayerTraffic& traffic = micro.traffic.layers[decision][at(g)];
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
