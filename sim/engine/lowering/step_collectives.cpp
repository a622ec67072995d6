// Communications of a step: what they put on links, and what they take from kernels beside them.
#include "sim/engine/lowering/step_expansion.h"
#include "sim/engine/lowering/step_ops.h"

namespace moesim {
namespace {

std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

}  // namespace

ProgramId StepExpansion::collective(std::int32_t id, int group) {
  const WorkNode& node = work_.node(id);
  switch (node.kind) {
    case WorkKind::dispatch:
    case WorkKind::combine:
      return exchange(node, group);
    case WorkKind::unit_gather:
    case WorkKind::unit_scatter:
      return unit_exchange(node, group);
    case WorkKind::context_gather:
      return context_gather(node, group);
    case WorkKind::logits_gather:
      return tensor_sum(node, CollectiveOp::all_gather, group);
    case WorkKind::expert_sum: {
      // Slices of the batch come together; partial sums (of sliced experts, or of the experts that
      // a rank has) are added up.
      const bool partial_sums = (in_.ranks.lanes() > 1 && !options_.gathers_in_units) ||
                                !ffn_of(node).shared.empty() ||
                                exchange_.algorithm().tokens_everywhere;
      return tensor_sum(node, partial_sums ? CollectiveOp::all_reduce : CollectiveOp::all_gather,
                        group);
    }
    default:
      return tensor_sum(node, CollectiveOp::all_reduce, group);
  }
}

const FoundCollective& StepExpansion::law_of(CollectiveOp op) {
  const auto known = laws_.find(op);
  return known != laws_.end() ? known->second : laws_[op] = collective_law(in_, op);
}

// Hidden states of a tensor-parallel group's batch, or its logits.
ProgramId StepExpansion::tensor_sum(const WorkNode& node, CollectiveOp op, int group) {
  const std::vector<int>& ranks = tensor_groups_[at(group)];
  const Kind& kind = kinds_[at(kind_on(node, ranks.front()))];
  const bool logits = node.kind == WorkKind::logits_gather;
  const auto rows = static_cast<double>(logits ? logit_rows_of(kind.batches) : kind.tokens);
  const auto width = static_cast<double>(logits ? in_.model.vocabulary : in_.model.hidden);
  const Bytes bytes(rows * width * stored_bits(in_.policy.precision.activation) / 8);
  if (bytes.si() == 0.0) {
    return k_no_program;
  }
  const std::string family = "collective/" + std::string(name_of(op));
  const std::vector<int>& devices = tensor_devices_[at(group)];
  return beside(programs_.collective(collectives_.lower(law_of(op), op, devices, bytes),
                                     Category::tensor_parallel, name_of(op),
                                     programs_.family(family), ranks.size()),
                family, devices);
}

// A single unit exchanges nothing.
ProgramId StepExpansion::exchange(const WorkNode& node, int group) {
  const bool out = node.kind == WorkKind::dispatch;
  if (in_.ranks.units() == 1 || exchange_.algorithm().tokens_everywhere ||
      exchange_.idles(node.batch, node.part, group)) {
    return k_no_program;
  }
  const StepExchange::Exchange& exchange = exchange_.of(node, group);
  const CollectiveCost& cost = out ? exchange.dispatch : exchange.combine;
  if ((!out && !exchange.comes_back) || (exchange_.cuts_rows() && cost.loads.empty())) {
    return k_no_program;
  }
  const Category category = category_of(node.kind);
  const std::string family =
      "all_to_all/" + in_.policy.all_to_all + (out ? "/dispatch" : "/combine");
  return beside(programs_.collective(cost, category, name_of(category), programs_.family(family),
                                     expert_groups_[at(group)].size()),
                family, expert_devices_[at(group)]);
}

ProgramId StepExpansion::beside(ProgramId program, std::string_view communication,
                                std::span<const int> devices) {
  if (const double fraction = interference_.of(communication); fraction > 0.0) {
    programs_.hold(devices, fraction);
  }
  return program;
}

// What a unit received: every slice a part of the rows, and all of them in the end; and back.
ProgramId StepExpansion::unit_exchange(const WorkNode& node, int unit) {
  const int group = in_.ranks.group_of(units_[at(unit)].front());
  const ExpertShard shard =
      exchange_.shard(node, group, in_.ranks.unit_of(units_[at(unit)].front()));
  if (shard.load.pairs == 0) {
    return k_no_program;
  }
  const bool out = node.kind == WorkKind::unit_gather;
  const CollectiveOp op = out ? CollectiveOp::all_gather : CollectiveOp::reduce_scatter;
  const Bytes rows =
      static_cast<double>(shard.entering_tokens) *
      activation_bytes(dispatch_width(in_.model), out ? in_.policy.dispatch : in_.policy.combine);
  const std::string family = "collective/" + std::string(name_of(op));
  const std::vector<int>& devices = unit_devices_[at(unit)];
  return beside(programs_.collective(collectives_.lower(law_of(op), op, devices, rows),
                                     Category::tensor_parallel, name_of(op),
                                     programs_.family(family), devices.size()),
                family, devices);
}

// At the end every rank learns every new token: one row each, as the dispatch would send it.
ProgramId StepExpansion::context_gather(const WorkNode& node, int group) {
  if (in_.ranks.units() == 1) {
    return k_no_program;
  }
  const std::vector<int>& devices = expert_devices_[at(group)];
  const std::int64_t tokens = in_.micro_batches[at(node.batch)].traffic.home[at(group)].tokens();
  const Bytes rows =
      static_cast<double>(tokens) * activation_bytes(in_.model.hidden, in_.policy.dispatch);
  CollectiveCost cost =
      collectives_.lower(law_of(CollectiveOp::all_gather), CollectiveOp::all_gather, devices, rows);
  cost.token_copies = static_cast<double>(tokens * (in_.ranks.units() - 1));
  return programs_.collective(cost, Category::combine, "context_gather",
                              programs_.family("collective/all_gather"), devices.size());
}

}  // namespace moesim
