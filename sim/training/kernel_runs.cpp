#include "sim/training/kernel_runs.h"

#include <algorithm>
#include <array>

#include "models/operators/operators.h"
#include "sim/core/error.h"

namespace moesim {
namespace {

bool is_norm(std::string_view label) {
  constexpr std::array<std::string_view, 4> norms{"extra_norm", "stream_mixing", "ffn_norm",
                                                  "input_norm"};
  return std::ranges::find(norms, label) != norms.end();
}

// One expert's product (expert_products), of which there are as many as experts.
bool is_of_expert(const Op& op) {
  return std::holds_alternative<GemmOp>(op.shape) &&
         (op.label == k_experts_up || op.label == k_experts_down);
}

bool is_core(const Op& op) {
  return std::holds_alternative<AttentionOp>(op.shape) || std::holds_alternative<MlaOp>(op.shape) ||
         std::holds_alternative<RooflineOp>(op.shape);
}

// Megatron-LM's modules (--recompute-modules) by the names of their kernels.
bool in_module(std::string_view module, KernelPart part, const Op& op) {
  if (module == "core_attn") {
    return part == KernelPart::attention && is_core(op);
  }
  if (module == "mla_up_proj") {
    return op.label == "q_b_proj" || op.label == "kv_b_proj" || op.label == "k_concat";
  }
  if (module == "layernorm") {
    return (part == KernelPart::attention_norm || part == KernelPart::ffn_norm) &&
           std::holds_alternative<MemoryOp>(op.shape);
  }
  if (module == "moe_act") {
    return op.label == "experts_activation";
  }
  if (module == "mlp") {
    return part == KernelPart::dense;
  }
  return module == "shared_experts" && part == KernelPart::shared;
}

class RunKernels {
 public:
  RunKernels(const TrainingSystem& system, const ExpertTraffic& traffic, const KernelRun& run,
             int unit)
      : system_(system), traffic_(traffic), run_(run), unit_(unit) {}

  std::vector<TrainKernel> make() {
    std::vector<Op> ops = forward();
    if (run_.pass == KernelPass::input_grad || run_.pass == KernelPass::weight_grad) {
      std::ranges::reverse(ops);
    }
    std::vector<TrainKernel> kernels;
    for (const Op& op : ops) {
      for (TrainKernel& kernel : of_pass(op)) {
        kernel.copies = is_of_expert(op) ? real_experts_ : 1.0;
        if (system_.scenario().policy.framework.quantises) {
          kernel.more_traffic += quantised_operand(op, run_.pass);
        }
        kernels.push_back(std::move(kernel));
      }
    }
    return kernels;
  }

 private:
  [[nodiscard]] bool selected(const Op& op) const {
    return std::ranges::any_of(system_.workload().recompute_modules,
                               [&](const std::string& m) { return in_module(m, run_.part, op); });
  }

  [[nodiscard]] std::vector<TrainKernel> of_pass(const Op& op) const {
    switch (run_.pass) {
      case KernelPass::forward:
        return {forward_kernel(op)};
      case KernelPass::again:
        if (run_.selected && !selected(op)) {
          return {};
        }
        return {{.op = op}};
      case KernelPass::input_grad:
        return input_gradient(op);
      case KernelPass::weight_grad:
        return weight_gradient(op, system_.workload().gradient);
    }
    return {};
  }

  // Block-scaled products of experts are grouped kernels (DeepGEMM); so are those that the scenario
  // asks for by name.
  [[nodiscard]] bool one_by_one(const MoeOp& experts) const {
    return experts.dtype != DType::fp8_block &&
           !system_.policy().kernels.by_operation.contains("moe");
  }

  [[nodiscard]] const Block& block() const {
    return system_.model().blocks[static_cast<std::size_t>(run_.block)];
  }
  [[nodiscard]] const FfnGroup& group() const {
    return block().ffn[static_cast<std::size_t>(run_.entry)];
  }
  [[nodiscard]] std::int64_t slice() const {
    return system_.workload().sequence_parallel ? system_.parallelism().attention_tp : 1;
  }

  [[nodiscard]] std::vector<Op> forward() {
    const MoeModel& model = system_.model();
    const OpPrecision& precision = system_.precision();
    const std::int64_t tp = system_.parallelism().attention_tp;
    const std::int64_t rows = system_.tokens();
    const std::int64_t rows_of_slice = rows / slice();
    switch (run_.part) {
      case KernelPart::embedding:
        return embedding_ops(model, rows, precision);
      case KernelPart::attention_norm:
      case KernelPart::attention:
      case KernelPart::ffn_norm:
        return attention_part();
      case KernelPart::dense:
        return dense_ffn_ops(model, group(), rows, precision, tp);
      case KernelPart::router: {
        std::vector<Op> ops = router_ops(model, group(), rows_of_slice, precision);
        for (const auto make : {free_expert_ops, latent_in_ops}) {
          const std::vector<Op> more = make(model, group(), rows_of_slice, precision);
          ops.insert(ops.end(), more.begin(), more.end());
        }
        return ops;
      }
      case KernelPart::shared:
        return shared_expert_ops(model, group(), rows, precision, tp);
      case KernelPart::experts:
        return experts();
      case KernelPart::latent_out:
        return latent_out_ops(model, group(), rows_of_slice, precision);
      case KernelPart::head:
        return head_ops(model, rows, precision, tp);
    }
    throw InvariantError("every part has kernels");
  }

  [[nodiscard]] std::vector<Op> experts() {
    const ExpertShard shard = traffic_.shard(run_.decision, unit_);
    if (shard.load.pairs == 0) {
      return {};
    }
    const Op experts = routed_expert_op(system_.model(), group(), shard, system_.precision());
    const auto& shape = std::get<MoeOp>(experts.shape);
    const bool single = one_by_one(shape);
    const bool alone = single || system_.kernels().products_alone(experts.shape);
    const std::vector<Op> passes =
        alone ? expert_passes(shape, system_.precision().activation) : std::vector<Op>{};
    if (!single) {
      std::vector<Op> ops{experts};
      ops.insert(ops.end(), passes.begin(), passes.end());
      return ops;
    }
    real_experts_ = static_cast<double>(shape.load.touched_experts);
    std::vector<Op> ops;
    for (const Op& pass : passes) {
      const std::vector<Op> products = expert_products(shape);
      if (pass.label == "experts_activation") {
        ops.push_back(products.front());
        ops.push_back(pass);
        ops.push_back(products.back());
      } else {
        ops.push_back(pass);
      }
    }
    return ops;
  }

  // Queries of a rank, and the keys that they see on average.
  [[nodiscard]] std::vector<Op> attention() const {
    const std::int64_t cp = system_.parallelism().attention_cp;
    const std::int64_t queries = system_.workload().sequence / cp;
    const auto ops = [&](std::int64_t context) {
      return attention_ops(system_.model(), block(),
                           AttentionBatch{.phase = Phase::prefill,
                                          .sequences = system_.workload().micro_batch,
                                          .query_len = queries,
                                          .context = context},
                           system_.precision(), system_.parallelism().attention_tp);
    };
    std::vector<Op> own = ops(queries);
    if (cp == 1) {
      return own;
    }
    // What is not attention itself works on own rows alone.
    std::vector<Op> seen = ops((system_.workload().sequence + queries) / 2);
    if (own.size() != seen.size()) {
      return seen;  // a longer context runs other kernels
    }
    for (std::size_t i = 0; i < own.size(); ++i) {
      own[i] = is_core(seen[i]) ? seen[i] : own[i];
    }
    return own;
  }

  [[nodiscard]] std::vector<Op> attention_part() const {
    std::vector<Op> ops = attention();
    auto behind = ops.end();
    while (behind != ops.begin() && is_norm(std::prev(behind)->label) &&
           std::prev(behind)->label != "input_norm") {
      --behind;
    }
    const auto norm = std::ranges::find(ops, std::string_view("input_norm"), &Op::label);
    const auto first = norm == ops.end() ? behind : std::next(norm);
    if (run_.part == KernelPart::attention) {
      return {first, behind};
    }
    std::vector<Op> part = run_.part == KernelPart::attention_norm
                               ? std::vector<Op>(ops.begin(), first)
                               : std::vector<Op>(behind, ops.end());
    for (Op& op : part) {
      cut_rows(op);
    }
    return part;
  }

  // Work on slices of the sequence.
  void cut_rows(Op& op) const {
    const std::int64_t slices = slice();
    if (auto* memory = std::get_if<MemoryOp>(&op.shape)) {
      memory->read = memory->read / static_cast<double>(slices);
      memory->written = memory->written / static_cast<double>(slices);
    } else if (auto* gemm = std::get_if<GemmOp>(&op.shape)) {
      gemm->m = std::max<std::int64_t>(1, gemm->m / slices);
    }
  }

  const TrainingSystem& system_;
  const ExpertTraffic& traffic_;
  const KernelRun& run_;
  int unit_;
  double real_experts_ = 1.0;  // whose products run side by side
};

}  // namespace

Category category_of(KernelPart part) {
  switch (part) {
    case KernelPart::embedding:
      return Category::embedding;
    case KernelPart::dense:
      return Category::dense_ffn;
    case KernelPart::router:
      return Category::router;
    case KernelPart::shared:
    case KernelPart::latent_out:
      return Category::shared_expert;
    case KernelPart::experts:
      return Category::experts;
    case KernelPart::head:
      return Category::head;
    default:
      return Category::attention;
  }
}

std::vector<TrainKernel> kernels_of(const TrainingSystem& system, const ExpertTraffic& traffic,
                                    const KernelRun& run, int unit) {
  return RunKernels(system, traffic, run, unit).make();
}

}  // namespace moesim
