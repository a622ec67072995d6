#include "sim/engine/kernel_binding.h"

namespace moesim {
namespace {

constexpr std::int64_t k_few = 16;  // of anything: which kernel answers depends on no size

void ask(const KernelModel& kernels, const std::vector<Op>& ops) {
  for (const Op& op : ops) {
    static_cast<void>(kernels.estimate(op.shape));
  }
}

std::vector<Op> ffn_ops(const MoeModel& model, const FfnGroup& group, const OpPrecision& precision,
                        ExpertLayout layout) {
  if (group.kind == FfnKind::dense) {
    return dense_ffn_ops(model, group, k_few, precision);
  }
  ExpertShard shard;
  shard.entering_tokens = k_few;
  shard.local_experts = 1;
  shard.layout = layout;
  shard.load = {
      .pairs = k_few, .touched_experts = 1, .tiles_64 = 1, .tiles_128 = 1, .busiest = k_few};
  std::vector<Op> ops{routed_expert_op(model, group, shard, precision)};
  for (const auto make : {router_ops, free_expert_ops, latent_in_ops, latent_out_ops}) {
    const std::vector<Op> more = make(model, group, k_few, precision);
    ops.insert(ops.end(), more.begin(), more.end());
  }
  const std::vector<Op> shared = shared_expert_ops(model, group, k_few, precision);
  ops.insert(ops.end(), shared.begin(), shared.end());
  return ops;
}

}  // namespace

void bind_kernels(const KernelModel& kernels, const MoeModel& model, const StepBatch& batch,
                  const OpPrecision& precision, ExpertLayout layout) {
  std::vector<AttentionBatch> batches;
  if (batch.decode_sequences() > 0) {
    batches.push_back({.phase = Phase::decode, .sequences = 1, .query_len = 1, .context = k_few});
  }
  if (batch.prefill_tokens() > 0) {
    batches.push_back(
        {.phase = Phase::prefill, .sequences = 1, .query_len = k_few, .context = k_few});
  }
  // Beyond windows, and beyond what sparse attention chooses from, other kernels run.
  constexpr std::int64_t long_context = std::int64_t{1} << 20;
  const std::size_t phases = batches.size();
  for (std::size_t i = 0; i < phases; ++i) {
    batches.push_back(batches[i]);
    batches.back().context = long_context;
  }
  ask(kernels, embedding_ops(model, k_few, precision));
  ask(kernels, head_ops(model, k_few, precision));
  for (const Block& block : model.blocks) {
    ask(kernels, attention_ops(model, block, batches, precision));
    for (const FfnGroup& group : block.ffn) {
      ask(kernels, ffn_ops(model, group, precision, layout));
    }
  }
}

}  // namespace moesim
