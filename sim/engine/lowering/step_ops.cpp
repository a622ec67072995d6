#include "sim/engine/lowering/step_ops.h"

#include <algorithm>
#include <string>

#include "sim/core/error.h"

namespace moesim {
namespace {

bool is_attention_kernel(const Op& op) {
  return std::holds_alternative<AttentionOp>(op.shape) || std::holds_alternative<MlaOp>(op.shape);
}

const Block& block_of(const LoweringInput& input, const WorkNode& node) {
  return input.model.layer(static_cast<std::size_t>(node.layer));
}

const FfnGroup& ffn_of(const LoweringInput& input, const WorkNode& node) {
  return block_of(input, node).ffn[static_cast<std::size_t>(node.entry)];
}

std::vector<Op> attention_part(const LoweringInput& input, const WorkNode& node,
                               std::span<const AttentionBatch> batches, bool attention_split) {
  std::vector<Op> all =
      attention_ops(input.model, block_of(input, node), batches, input.policy.precision,
                    input.ranks.parallelism().attention_tp);
  if (attention_split) {
    const auto core = std::ranges::find_if(all, is_attention_kernel);
    node.kind == WorkKind::attention ? all.erase(core, all.end()) : all.erase(all.begin(), core);
  }
  return all;
}

}  // namespace

Category category_of(WorkKind kind) {
  switch (kind) {
    case WorkKind::embedding:
      return Category::embedding;
    case WorkKind::dense:
      return Category::dense_ffn;
    case WorkKind::router:
    case WorkKind::free_experts:
      return Category::router;
    case WorkKind::shared:
    case WorkKind::latent_in:
    case WorkKind::latent_out:
      return Category::shared_expert;
    case WorkKind::dispatch:
      return Category::dispatch;
    case WorkKind::experts:
      return Category::experts;
    case WorkKind::combine:
    case WorkKind::context_gather:
      return Category::combine;
    case WorkKind::embedding_sum:
    case WorkKind::attention_sum:
    case WorkKind::dense_sum:
    case WorkKind::expert_sum:
    case WorkKind::logits_gather:
    case WorkKind::unit_gather:
    case WorkKind::unit_scatter:
      return Category::tensor_parallel;
    case WorkKind::head:
      return Category::head;
    default:
      return Category::attention;
  }
}

std::vector<Op> step_ops(const LoweringInput& input, const WorkNode& node, std::int64_t tokens,
                         std::span<const AttentionBatch> batches, bool attention_split) {
  const OpPrecision& precision = input.policy.precision;
  const MoeModel& model = input.model;
  const std::int64_t tp = input.ranks.parallelism().attention_tp;
  switch (node.kind) {
    case WorkKind::embedding:
      return embedding_ops(model, tokens, precision);
    case WorkKind::attention:
    case WorkKind::attention_core:
      return attention_part(input, node, batches, attention_split);
    case WorkKind::dense:
      return dense_ffn_ops(model, ffn_of(input, node), tokens, precision, tp);
    case WorkKind::router:
      return router_ops(model, ffn_of(input, node), tokens, precision);
    case WorkKind::shared:
      return shared_expert_ops(model, ffn_of(input, node), tokens, precision, tp);
    case WorkKind::free_experts:
      return free_expert_ops(model, ffn_of(input, node), tokens, precision);
    case WorkKind::latent_in:
      return latent_in_ops(model, ffn_of(input, node), tokens, precision);
    case WorkKind::latent_out:
      return latent_out_ops(model, ffn_of(input, node), tokens, precision);
    case WorkKind::head:
      return head_ops(model, logit_rows_of(batches), precision, tp);
    default:
      throw InvariantError("a forward step has no kernels for " + std::string(name_of(node.kind)));
  }
}

}  // namespace moesim
