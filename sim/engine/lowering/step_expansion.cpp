#include "sim/engine/lowering/step_expansion.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/engine/batch_padding.h"
#include "sim/engine/lowering/step_ops.h"

namespace moesim {
namespace {

constexpr std::int64_t k_kinds_of_work = 32;
constexpr std::int64_t k_entries = 64;
constexpr ProgramId k_unknown = -2;

std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

// Of ranks that exchange. One rank's tokens need no link to another on its device.
std::vector<int> devices_of(const RankMap& map, std::span<const int> ranks) {
  std::vector<int> devices;
  for (const int rank : ranks) {
    devices.push_back(map.device_of(rank));
  }
  std::vector<int> sorted = devices;
  std::ranges::sort(sorted);
  ensure(std::ranges::adjacent_find(sorted) == sorted.end(),
         "ranks of one group have devices of their own");
  return devices;
}

bool of_expert_group(WorkKind kind) {
  return kind == WorkKind::dispatch || kind == WorkKind::combine ||
         kind == WorkKind::context_gather;
}

bool of_unit(WorkKind kind) {
  return kind == WorkKind::unit_gather || kind == WorkKind::unit_scatter;
}

}  // namespace

StepExpansion::StepExpansion(const LoweringInput& input, const Work& work,
                             const ExpansionOptions& options)
    : in_(input),
      work_(work),
      options_(options),
      interference_(options.interferes ? Interference(input) : Interference()),
      programs_(input.topology, input.kernels, input.ranks),
      exchange_(input, options.rule, options.gathers_in_units),
      collectives_(input.topology) {
  for (int g = 0; g < in_.ranks.tensor_groups(); ++g) {
    tensor_groups_.push_back(in_.ranks.tensor_group(g));
    tensor_devices_.push_back(devices_of(in_.ranks, tensor_groups_.back()));
  }
  for (int g = 0; g < in_.ranks.expert_groups(); ++g) {
    expert_groups_.push_back(in_.ranks.expert_group(g));
    expert_devices_.push_back(devices_of(in_.ranks, expert_groups_.back()));
    for (int unit = 0; unit < in_.ranks.units() && options.gathers_in_units; ++unit) {
      auto& ranks = units_.emplace_back();
      for (int lane = 0; lane < in_.ranks.lanes(); ++lane) {
        ranks.push_back(in_.ranks.rank_of(g, unit, lane));
      }
      unit_devices_.push_back(devices_of(in_.ranks, ranks));
    }
  }
  ensure(
      in_.model.blocks.size() * static_cast<std::size_t>(k_entries * k_kinds_of_work) < 1U << 31U,
      "a model has a moderate number of blocks");
}

void StepExpansion::begin(LoweredStep& step) {
  step_ = &step;
  programs_.begin_step(step);
  exchange_.begin_step();
  collectives_.begin_step();
  kind_of_batch_.clear();
  kinds_.clear();
  kind_of_.clear();
  parts_.clear();
  chains_.clear();
  experts_.clear();
  current_ = -1;
  current_program_.clear();
  for (const MicroBatch& micro : in_.micro_batches) {
    auto& kinds = kind_of_.emplace_back();
    for (const RankBatch& batch : micro.batch.kinds()) {
      kinds.push_back(kind_of(batch));
    }
    for (int rank = 0; rank < micro.batch.ranks(); ++rank) {
      const Kind& kind = kinds_[at(kinds[at(micro.batch.kind_of(rank))])];
      step.padded_tokens += kind.tokens - kind.given.tokens();
    }
  }
}

RankRange StepExpansion::ranks_of(int stage) const {
  return {in_.ranks.first_rank(stage), in_.ranks.ranks_per_stage()};
}

std::int32_t StepExpansion::resource_offset(int rank) const {
  return 2 * in_.ranks.device_of(rank);
}

std::int32_t StepExpansion::kind_of(const RankBatch& batch) {
  const auto [known, fresh] =
      kind_of_batch_.try_emplace(batch, static_cast<std::int32_t>(kinds_.size()));
  if (fresh) {
    const RankBatch run =
        in_.policy.cuda_graphs.value_or(true) ? padded(batch, in_.policy.batch_padding) : batch;
    kinds_.push_back({run.tokens(), run.attention(), batch});
  }
  return known->second;
}

std::int32_t StepExpansion::kind_on(const WorkNode& node, int rank) {
  const MicroBatch& micro = in_.micro_batches[at(node.batch)];
  if (!micro.traffic.resident.empty()) {
    return kind_of_resting(node, rank);
  }
  return kind_of_[at(node.batch)][at(micro.batch.kind_of(in_.ranks.attention_rank_of(rank)))];
}

// The tokens that rest on a rank before the node's routing decision.
std::int32_t StepExpansion::kind_of_resting(const WorkNode& node, int rank) {
  const MicroBatch& micro = in_.micro_batches[at(node.batch)];
  const auto g = at(in_.ranks.group_of(rank));
  const auto& layers = micro.traffic.resident;
  const TokenLayout& layout = at(node.decision) < layers.size()
                                  ? layers[at(node.decision)][g].before
                                  : layers.back()[g].after;
  const std::int64_t tokens = layout.tokens_of(in_.ranks.unit_of(rank));
  RankBatch resting;
  if (tokens > 0) {
    resting = micro.batch.rank(in_.ranks.attention_rank_of(rank));
    resting.sequences.front().count = tokens;
  }
  return kind_of(resting);
}

std::int64_t StepExpansion::part_key(const WorkNode& node, std::int32_t kind) const {
  ensure(node.entry < k_entries, "a block has fewer than 64 FFN entries");
  const std::int64_t block = node.kind == WorkKind::embedding || node.kind == WorkKind::head
                                 ? 0
                                 : in_.model.layers[static_cast<std::size_t>(node.layer)];
  const auto blocks = static_cast<std::int64_t>(in_.model.blocks.size());
  return ((kind * blocks + block) * k_entries + node.entry) * k_kinds_of_work +
         static_cast<std::int64_t>(node.kind);
}

const std::vector<KernelPrograms::Estimated>& StepExpansion::part(const WorkNode& node,
                                                                  std::int32_t kind) {
  const std::int64_t key = part_key(node, kind);
  const auto known = parts_.find(key);
  if (known != parts_.end()) {
    return known->second;
  }
  const Kind& run = kinds_[at(kind)];
  if (run.tokens == 0) {
    return parts_[key];
  }
  std::vector<KernelPrograms::Estimated> kernels =
      programs_.estimate_all(step_ops(in_, node, run.tokens, run.batches, options_.attention_split),
                             category_of(node.kind));
  if (const std::int64_t given = run.given.tokens(); given < run.tokens) {
    programs_.price_padding(
        kernels, step_ops(in_, node, given, run.given.attention(), options_.attention_split));
  }
  return parts_[key] = std::move(kernels);
}

ProgramId StepExpansion::kind_program(std::span<const std::int32_t> nodes, std::int32_t kind) {
  key_.clear();
  for (const std::int32_t id : nodes) {
    if (!part(work_.node(id), kind).empty()) {
      key_.push_back(part_key(work_.node(id), kind));
    }
  }
  if (key_.empty()) {
    return k_no_program;
  }
  const auto known = chains_.find(key_);
  if (known != chains_.end()) {
    return known->second;
  }
  const ProgramId program = programs_.begin();
  for (const std::int64_t key : key_) {
    for (const KernelPrograms::Estimated& kernel : parts_.at(key)) {
      programs_.add(kernel);
    }
  }
  return chains_[key_] = program;
}

ProgramId StepExpansion::chain(std::span<const std::int32_t> nodes, int rank) {
  const WorkNode& head = work_.node(nodes.front());
  if (head.kind == WorkKind::experts) {
    return expert_program(head, rank);
  }
  if (current_ != nodes.front()) {
    current_ = nodes.front();
    current_program_.clear();
  }
  const std::int32_t kind = kind_on(head, rank);
  if (at(kind) >= current_program_.size()) {
    current_program_.resize(at(kind) + 1, k_unknown);
  }
  ProgramId& program = current_program_[at(kind)];
  if (program == k_unknown) {
    program = kind_program(nodes, kind);
  }
  if (program != k_no_program) {
    programs_.ran(program);
  }
  return program;
}

ProgramId StepExpansion::expert_program(const WorkNode& node, int rank) {
  const int group = in_.ranks.group_of(rank);
  if (exchange_.idles(node.batch, node.part, group)) {
    return k_no_program;
  }
  const ExpertShard shard = exchange_.shard(node, group, in_.ranks.unit_of(rank));
  // A kernel for all experts is launched even without rows; one for a part need not be.
  if (exchange_.cuts_rows() && shard.load.pairs == 0) {
    return k_no_program;
  }
  const ExpertIndex::Key key{in_.model.layers[static_cast<std::size_t>(node.layer)],
                             node.entry,
                             shard.local_experts,
                             shard.entering_tokens,
                             shard.load.pairs,
                             shard.load.touched_experts,
                             shard.load.tiles_64,
                             shard.load.tiles_128,
                             shard.load.busiest};
  ProgramId& program = experts_.at(key, k_unknown);
  if (program == k_unknown) {
    const Op op = routed_expert_op(in_.model, ffn_of(node), shard, in_.policy.precision);
    program = programs_.begin();
    programs_.add(programs_.estimate(op, Category::experts));
    if (programs_.products_alone(op)) {
      for (const Op& pass :
           expert_passes(std::get<MoeOp>(op.shape), in_.policy.precision.activation)) {
        programs_.add(programs_.estimate(pass, Category::experts));
      }
    }
  }
  programs_.ran(program);
  return program;
}

int StepExpansion::groups(std::int32_t node) const {
  const WorkKind kind = work_.node(node).kind;
  return static_cast<int>(of_expert_group(kind) ? expert_groups_.size()
                          : of_unit(kind)       ? units_.size()
                                                : tensor_groups_.size());
}

std::span<const int> StepExpansion::ranks_of_group(std::int32_t node, int group) const {
  const WorkKind kind = work_.node(node).kind;
  return of_expert_group(kind) ? expert_groups_[at(group)]
         : of_unit(kind)       ? units_[at(group)]
                               : tensor_groups_[at(group)];
}

std::span<const int> StepExpansion::peers(int rank) const {
  return expert_groups_[at(in_.ranks.group_of(rank))];
}

int StepExpansion::lane(std::int32_t node, int group) const {
  const WorkKind kind = work_.node(node).kind;
  const auto expert_lanes = 2 * static_cast<int>(expert_groups_.size());
  if (of_unit(kind)) {
    return expert_lanes + static_cast<int>(tensor_groups_.size()) + group;
  }
  return !of_expert_group(kind) ? expert_lanes + group
                                : 2 * group + (kind == WorkKind::dispatch ? 0 : 1);
}

std::int32_t StepExpansion::label(std::span<const std::int32_t> nodes) const {
  return static_cast<std::int32_t>(category_of(work_.node(nodes.front()).kind));
}

ProgramId StepExpansion::nothing() {
  const ProgramId program = programs_.begin();
  KernelPrograms::Estimated none;
  none.kernel.label = "join";
  none.kernel.family = programs_.family("join");
  programs_.add(none);
  return program;
}

void StepExpansion::finish(int streams) {
  programs_.finish();
  for (int stream = 0; stream < streams; ++stream) {
    for (int rank = 0; rank < in_.ranks.ranks(); ++rank) {
      step_->stream_devices.push_back({in_.ranks.device_of(rank)});
    }
  }
  // Lanes: see lane().
  const auto lane_of = [this](const std::vector<int>& devices) {
    // A single rank exchanges nothing.
    step_->stream_devices.push_back(devices.size() > 1 ? devices : std::vector<int>{});
  };
  for (const auto& devices : expert_devices_) {
    lane_of(devices);  // dispatch
    lane_of(devices);  // combine
  }
  std::ranges::for_each(tensor_devices_, lane_of);
  std::ranges::for_each(unit_devices_, lane_of);
  std::vector<LayerLoad> loads = exchange_.loads();
  for (const WorkNode& node : work_.nodes()) {
    if (node.kind == WorkKind::experts && node.batch == 0) {
      loads.at(at(node.decision)).layer = node.layer;
    }
  }
  step_->moe_layers = std::move(loads);
  for (std::size_t l = 0; l < in_.model.layers.size(); ++l) {
    step_->layer_is_moe.push_back(in_.model.layer(l).moe() != nullptr ? 1 : 0);
  }
}

}  // namespace moesim
