#include "sim/training/exchange_costs.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/training/group_links.h"

namespace moesim {
namespace {

struct ExchangeTraits {
  CollectiveOp op;
  RankGroup over;
  Category category;
  std::string_view label;
};

ExchangeTraits traits_of(ExchangeKind kind) {
  using enum ExchangeKind;
  switch (kind) {
    case tensor_gather:
      return {CollectiveOp::all_gather, RankGroup::tensor, Category::tensor_parallel,
              "tensor_gather"};
    case tensor_scatter:
      return {CollectiveOp::reduce_scatter, RankGroup::tensor, Category::tensor_parallel,
              "tensor_scatter"};
    case tensor_sum:
      return {CollectiveOp::all_reduce, RankGroup::tensor, Category::tensor_parallel, "tensor_sum"};
    case context:
      return {CollectiveOp::all_gather, RankGroup::context, Category::context_parallel,
              "keys_and_values"};
    case context_back:
      return {CollectiveOp::all_gather, RankGroup::context, Category::context_parallel,
              "keys_and_values_back"};
    case dispatch:
      return {CollectiveOp::all_to_all, RankGroup::experts, Category::dispatch, "dispatch"};
    case combine:
      return {CollectiveOp::all_to_all, RankGroup::experts, Category::combine, "combine"};
    case expert_gather:
      return {CollectiveOp::all_gather, RankGroup::expert_slice, Category::tensor_parallel,
              "expert_gather"};
    case expert_scatter:
      return {CollectiveOp::reduce_scatter, RankGroup::expert_slice, Category::tensor_parallel,
              "expert_scatter"};
    case weights:
      return {CollectiveOp::all_gather, RankGroup::data, Category::parameter_gather,
              "gather_weights"};
    case gradients:
      return {CollectiveOp::reduce_scatter, RankGroup::data, Category::gradient_reduction,
              "reduce_gradients"};
    case send:
      return {CollectiveOp::all_gather, RankGroup::data, Category::pipeline_send, "send"};
  }
  throw InvariantError("every exchange is of some kind");
}

double bytes_per_value(DType dtype) { return stored_bits(dtype) / 8; }

}  // namespace

RankGroup group_of(ExchangeKind kind) { return traits_of(kind).over; }

Category category_of(ExchangeKind kind) { return traits_of(kind).category; }

std::string_view label_of(ExchangeKind kind) { return traits_of(kind).label; }

std::vector<CommProvenance> ExchangeCosts::laws() const {
  std::vector<CommProvenance> rows;
  for (const auto& [family, law] : used_laws_) {
    rows.push_back({family, law.profile, law.basis, law.fit, law.library});
  }
  if (!all_to_all_.empty()) {
    for (const Direction direction : {Direction::dispatch, Direction::combine}) {
      const FoundAllToAll& law = all_to_all_.begin()->second.law(direction);
      std::string family = "all_to_all/";
      family.append(system_.policy().all_to_all).append("/").append(name_of(direction));
      rows.push_back({std::move(family), law.profile, law.basis, law.fit, ""});
    }
  }
  return rows;
}

const FoundCollective& ExchangeCosts::law_of(CollectiveOp op) {
  const auto known = laws_.find(op);
  if (known != laws_.end()) {
    return known->second;
  }
  const std::string& wanted = system_.policy().collective_library(name_of(op));
  // Training frameworks call the vendor's library: custom all-reduces are for small messages.
  std::vector<std::string> names{wanted == k_auto_library ? "nccl" : wanted, ""};
  return laws_[op] = find_collective(system_.comm_profiles(), system_.comm_target(), op, names);
}

std::vector<std::vector<int>> ExchangeCosts::devices_of(RankGroup over, int stage,
                                                        int group) const {
  std::vector<std::vector<int>> groups = groups_of(over, system_.parallelism());
  if (group >= 0) {
    groups = {groups.at(static_cast<std::size_t>(group))};
  }
  const int first = system_.ranks().first_rank(stage);
  for (std::vector<int>& ranks : groups) {
    for (int& rank : ranks) {
      rank = system_.ranks().device_of(first + rank);
    }
  }
  return groups;
}

CollectiveCost ExchangeCosts::cost_of(CollectiveOp op, RankGroup over, int stage, int group,
                                      Bytes bytes) {
  const FoundCollective& law = law_of(op);
  used_laws_["collective/" + std::string(name_of(op))] = law;
  return lower_groups(system_.topology(), law, op, devices_of(over, stage, group), bytes);
}

CollectiveCost ExchangeCosts::all_to_all(ExchangeKind kind, int stage, int group,
                                         std::int32_t decision) {
  const std::pair key{stage, group};
  auto known = all_to_all_.find(key);
  if (known == all_to_all_.end()) {
    std::vector<std::vector<int>> lanes = groups_of(RankGroup::experts, system_.parallelism());
    if (group >= 0) {
      lanes = {lanes.at(static_cast<std::size_t>(group))};
    }
    known = all_to_all_.emplace(key, stage_all_to_all(system_, stage, lanes)).first;
  }
  CollectiveCost dispatch;
  CollectiveCost combine;
  known->second.lower(traffic_.demand(decision), dispatch, combine);
  return kind == ExchangeKind::dispatch ? dispatch : combine;
}

// Values of keys and values of a token on one rank, of the widest layer.
double ExchangeCosts::kv_width() const {
  const double tp = system_.parallelism().attention_tp;
  const auto of_rank = [tp](std::int64_t heads) {
    return std::max(1.0, static_cast<double>(heads) / tp);
  };
  double width = 0.0;
  for (const Block& block : system_.model().blocks) {
    const Attention& a = block.attention;
    const double own =
        a.kind == AttentionKind::mla
            ? of_rank(a.heads) * static_cast<double>(a.nope_dim + a.rope_dim + a.value_dim)
            : of_rank(a.kv_heads) * static_cast<double>(a.head_dim + a.value_dim);
    width = std::max(width, own);
  }
  return width;
}

Bytes ExchangeCosts::bytes_of(ExchangeKind kind, std::int32_t decision) const {
  const double value = bytes_per_value(system_.precision().activation);
  const auto rows = static_cast<double>(system_.tokens());
  const auto hidden = static_cast<double>(system_.model().hidden);
  const Parallelism& p = system_.parallelism();
  switch (kind) {
    case ExchangeKind::context:
    case ExchangeKind::context_back: {
      const double ways = kind == ExchangeKind::context ? 1.0 : 2.0;
      return Bytes(ways * rows * p.attention_cp * kv_width() * value);
    }
    case ExchangeKind::expert_gather:
    case ExchangeKind::expert_scatter:
      return Bytes(traffic_.busiest_rows(decision) *
                   static_cast<double>(dispatch_width(system_.model())) * value);
    case ExchangeKind::send:
      return Bytes(rows * hidden * value /
                   (system_.workload().sequence_parallel ? p.attention_tp : 1));
    default:
      return Bytes(rows * hidden * value);
  }
}

FamilyCost ExchangeCosts::collective(ExchangeKind kind, int stage, int group,
                                     std::int32_t decision) {
  const ExchangeTraits traits = traits_of(kind);
  if (traits.op == CollectiveOp::all_to_all) {
    std::string family = "all_to_all/";
    family.append(system_.policy().all_to_all).append("/").append(traits.label);
    return {all_to_all(kind, stage, group, decision), std::move(family)};
  }
  return {cost_of(traits.op, traits.over, stage, group, bytes_of(kind, decision)),
          "collective/" + std::string(name_of(traits.op))};
}

FamilyCost ExchangeCosts::parameters(ExchangeKind kind, RankGroup over, double count, int stage,
                                     int group) {
  const bool gradients = kind == ExchangeKind::gradients;
  const bool all_keep_all = gradients && system_.workload().optimizer.zero == 0;
  const CollectiveOp op = all_keep_all ? CollectiveOp::all_reduce : traits_of(kind).op;
  const DType format = gradients ? system_.workload().gradient : system_.precision().activation;
  return {cost_of(op, over, stage, group, Bytes(count * bytes_per_value(format))),
          "collective/" + std::string(name_of(op))};
}

FamilyCost ExchangeCosts::send(int from_stage, int to_stage, int rank) {
  const RankMap& ranks = system_.ranks();
  std::vector<std::pair<int, int>> pairs;
  for (int r = 0; r < ranks.ranks_per_stage(); ++r) {
    if (rank < 0 || r == rank) {
      pairs.emplace_back(ranks.device_of(ranks.first_rank(from_stage) + r),
                         ranks.device_of(ranks.first_rank(to_stage) + r));
    }
  }
  const FoundCollective& law = law_of(CollectiveOp::all_gather);
  used_laws_["collective/send"] = law;
  return {lower_sends(system_.topology(), law, pairs, bytes_of(ExchangeKind::send, -1)),
          "collective/send"};
}

}  // namespace moesim
