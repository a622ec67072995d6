// The exchanges of a step: how the all-to-all of one expert group is set up, and where its law
// comes from.
#include "sim/engine/lowering/lowering.h"

namespace moesim {

std::int64_t dispatch_width(const MoeModel& model) {
  for (const Block& block : model.blocks) {
    if (const FfnGroup* group = block.moe(); group != nullptr && group->latent_dim > 0) {
      return group->latent_dim;
    }
  }
  return model.hidden;
}

AllToAllLowering make_all_to_all(const Topology& topology, std::span<const CommProfile> profiles,
                                 const CommTarget& target, const MoeModel& model,
                                 const Policy& policy, const RankMap& ranks, int group, int slots,
                                 int top_k) {
  AllToAllSpec spec;
  spec.algorithm = policy.all_to_all;
  spec.payload = {.hidden = dispatch_width(model),
                  .top_k = top_k,
                  .dispatch = policy.dispatch,
                  .combine = policy.combine};
  spec.slots = slots;
  spec.link_rate = policy.all_to_all_link_rate;
  for (int lane = 0; lane < ranks.lanes(); ++lane) {
    spec.lanes.emplace_back();
    for (int unit = 0; unit < ranks.units(); ++unit) {
      spec.lanes.back().push_back(ranks.device_of(ranks.rank_of(group, unit, lane)));
    }
  }
  return {topology, profiles, target, spec, "policy/all_to_all"};
}

FoundCollective collective_law(const LoweringInput& input, CollectiveOp op) {
  const std::string& wanted = input.policy.collective_library(name_of(op));
  const std::string framework = input.policy.framework();
  if (wanted == k_auto_library && framework.empty()) {
    const std::vector<std::string> usual{"custom_allreduce", "nccl", ""};  // whichever framework's
    return find_collective(input.comm_profiles, input.comm_target, op, usual);
  }
  std::vector<std::string> names;
  if (wanted != k_auto_library) {
    names.push_back(wanted);
  }
  return choose_collective(input.comm_profiles, input.comm_target, op, names, framework);
}

std::vector<CommProvenance> comm_provenance(const LoweringInput& input) {
  std::vector<CommProvenance> rows;
  const int top_k = static_cast<int>(routing_shape(input.model).top_k);
  if (top_k > 0 && input.ranks.units() > 1 && input.policy.all_to_all != k_tp_allreduce) {
    const AllToAllLowering exchange =
        make_all_to_all(input.topology, input.comm_profiles, input.comm_target, input.model,
                        input.policy, input.ranks, 0, input.placement.slots(), top_k);
    for (const Direction direction : {Direction::combine, Direction::dispatch}) {
      const FoundAllToAll& law = exchange.law(direction);
      rows.push_back(
          {"all_to_all/" + input.policy.all_to_all + "/" + std::string(name_of(direction)),
           law.profile, law.basis, law.fit, "", law.law.sms});
    }
  }
  std::vector<CollectiveOp> collectives;
  if (input.ranks.parallelism().attention_tp > 1) {
    collectives = {CollectiveOp::all_gather, CollectiveOp::all_reduce};
  } else if (input.policy.residency == TokenResidency::last_expert && input.ranks.units() > 1) {
    collectives = {CollectiveOp::all_gather};  // of the new tokens' contexts
  }
  if (find_overlap(input.policy.overlap, "policy/overlap").gathers_in_units) {
    collectives.push_back(CollectiveOp::reduce_scatter);
  }
  for (const CollectiveOp op : collectives) {
    const FoundCollective law = collective_law(input, op);
    rows.push_back(
        {"collective/" + std::string(name_of(op)), law.profile, law.basis, law.fit, law.library});
  }
  return rows;
}

}  // namespace moesim
